@echo off
rem Checks the files of an airgap bundle on this disk, with what every Windows has (certutil). Double-click it, or:
rem
rem   check.cmd            everything that SHA256SUMS lists must be here and undamaged
rem   check.cmd --subset   what is not here is on other disks
rem   --lang en, --lang zh   in English or in Chinese; Chinese is said by check.ps1, which is started for it
rem
rem Exit codes: 0 good, 2 cannot check, 4 damaged or incomplete.
rem It proves that the files are those that SHA256SUMS lists. Who made them, only the signatures of the catalog prove.
setlocal EnableExtensions DisableDelayedExpansion
rem Only Windows' own programs: a certutil or findstr that lies on this disk, or in the directory this is called from, is not run.
set "NoDefaultCurrentDirectoryInExePath=1"
set "PATH=%SystemRoot%\System32"
cd /d "%~dp0"
set "subset=no"
set "lang="
:option
if "%~1"=="--subset" (
  set "subset=yes"
  shift
  goto option
)
if "%~1"=="--lang" (
  set "lang=%~2"
  shift
  shift
  goto option
)
rem The language of this machine, if it has PowerShell to say it.
if not defined lang for /f "tokens=3" %%L in ('reg query "HKCU\Control Panel\International" /v LocaleName 2^>nul') do set "lang=%%L"
if not defined lang set "lang=en"
set "shell=%SystemRoot%\System32\WindowsPowerShell\v1.0\powershell.exe"
if "%lang:~0,2%"=="zh" if exist "%shell%" if exist check.ps1 (
  if "%subset%"=="yes" ("%shell%" -NoProfile -ExecutionPolicy Bypass -File check.ps1 -Lang zh -Subset) else ("%shell%" -NoProfile -ExecutionPolicy Bypass -File check.ps1 -Lang zh)
  goto said
)
if not exist SHA256SUMS (
  echo SHA256SUMS is not here: there is nothing to check against. Copy it again from the original.
  call :hold
  exit /b 2
)
set "own="
set /a total=0
rem "This disk: B", and "disk A: NAME NAME ...". Nothing of it gets into a command line but as the value of a loop, which is not parsed.
if exist DISKS.txt (
  for /f "usebackq tokens=1,2,3" %%A in ("DISKS.txt") do if "%%A %%B"=="This disk:" (
    set "own=%%C"
    for /f "delims=ABCDEFGHIJKLMNOPQRSTUVWXYZ" %%X in ("%%C") do set "own="
  )
  for /f "usebackq tokens=1,2*" %%A in ("DISKS.txt") do if "%%A"=="disk" for %%N in (%%C) do (
    for /f "delims=-" %%P in ("%%N") do if "%%P"=="volume" set /a total+=1
  )
)
rem Only names that the command line cannot take for anything else: what is left of a line without their letters must be nothing.
set "odd="
for /f "usebackq tokens=1,2" %%H in ("SHA256SUMS") do (
  for /f "delims=0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ._-" %%X in ("%%H%%I") do set "odd=yes"
  if "%%I"=="" set "odd=yes"
)
if defined odd (
  echo DAMAGED    SHA256SUMS has a line that is not one of ours.
  call :hold
  exit /b 4
)
if %total%==0 for /f "usebackq tokens=2" %%N in ("SHA256SUMS") do call :count %%N
set "take=take this disk back"
if defined own set "take=take disk %own% back"
set /a good=0
set /a bad=0
set /a missing=0
for /f "usebackq tokens=1,2" %%H in ("SHA256SUMS") do call :one %%H %%I
for %%F in (volume-*.tar parity-*.bin) do call :foreign "%%F"
echo.
if exist DISKS.txt findstr /b /r /c:"This disk: [A-Z][A-Z]*$" /c:"disk [A-Z][A-Z]*: [a-z0-9. -]*$" DISKS.txt
if %bad% gtr 0 (
  echo NOT GOOD: %bad% damaged, %missing% missing, %good% good. Copy the damaged files again from the original, nothing else.
  call :hold
  exit /b 4
)
if %missing% gtr 0 if "%subset%"=="no" (
  echo INCOMPLETE: %missing% missing, %good% good. If the others are on other disks, this is fine: check.cmd --subset
  call :hold
  exit /b 4
)
if %good%==0 (
  echo NOT GOOD: nothing of the bundle is here.
  call :hold
  exit /b 4
)
echo GOOD: everything that is on this disk is undamaged, %good% files.
call :hold
exit /b 0

:said
set "code=%errorlevel%"
call :hold
exit /b %code%

:count
set "name=%~1"
if "%name:~0,7%"=="volume-" set /a total+=1
exit /b 0

:one
set "sum=%~1"
set "name=%~2"
call :title
if not exist "%name%" (
  set /a missing+=1
  if "%subset%"=="yes" (echo elsewhere  %title%) else (echo MISSING    %title% is not on this disk)
  exit /b 0
)
set "found="
rem The second line is the digest; old versions put spaces between its bytes. Of a directory there is none.
for /f "skip=1 delims=" %%D in ('certutil -hashfile "%name%" SHA256 2^>nul') do if not defined found set "found=%%D"
if defined found set "found=%found: =%"
if /i "%found%"=="%sum%" (
  echo good       %title%
  set /a good+=1
  exit /b 0
)
echo DAMAGED    %title% is damaged: %take%
set /a bad+=1
exit /b 0

:foreign
findstr /c:"  %~1" SHA256SUMS >nul && exit /b 0
echo FOREIGN    "%~1" does not belong here: move it away
set /a bad+=1
exit /b 0

rem "volume 3 of 7 (volume-0003.tar)", in brackets because a parenthesis would end a block.
:title
set "title=%name%"
set "number=%name:~7%"
if "%name:~0,7%"=="volume-" goto number
if "%name:~0,7%"=="parity-" goto number
exit /b 0
:number
for /f "delims=." %%N in ("%number%") do set "number=%%N"
:zeros
if "%number:~0,1%"=="0" (
  set "number=%number:~1%"
  goto zeros
)
if "%name:~0,7%"=="volume-" (set "title=volume %number% of %total% [%name%]") else (set "title=parity file %number% [%name%]")
exit /b 0

rem Keeps the window of a double-click open.
:hold
echo %cmdcmdline% | findstr /i /c:"/c \"\"" >nul && pause
exit /b 0
