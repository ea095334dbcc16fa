# Checks the files of an airgap bundle on this disk, with what every Windows has. Needs no key, no network, no rights.
#
#   powershell -NoProfile -ExecutionPolicy Bypass -File check.ps1           everything that SHA256SUMS lists must be here
#   powershell -NoProfile -ExecutionPolicy Bypass -File check.ps1 -Subset   what is not here is on other disks
#   -Lang zh, -Lang en   in Chinese or in English; by default in the language of this machine
#
# Exit codes: 0 good, 2 cannot check, 4 damaged or incomplete.
# It proves that the files are those that SHA256SUMS lists. Who made them, only the signatures of the catalog prove.

param([switch]$Subset, [ValidateSet('', 'en', 'zh')][string]$Lang = '')

$ErrorActionPreference = 'Stop'
if (-not $Lang) { if ($PSUICulture -like 'zh*') { $Lang = 'zh' } else { $Lang = 'en' } }
# What is said, with {0} for names and numbers.
if ($Lang -eq 'zh') {
    $said = @{
        NoSums = '这里没有 SHA256SUMS，无从核对。请从原件重新复制它。'
        TakeDisk = '请把 {0} 盘带回'; TakeThis = '请把这块盘带回'
        Volume = '第 {0} 卷，共 {1} 卷（{2}）'; Parity = '校验文件 {0}（{1}）'
        ForeignLine = '损坏   SHA256SUMS 中有一行不是我们写的：{0}'; Elsewhere = '在别处 {0}'; Absent = '缺少   {0} 不在这块盘上'
        NoFile = '损坏   {0} 不是文件：{1}'; Intact = '完好   {0}'; Broken = '损坏   {0} 已损坏：{1}'
        Foreign = '多余   {0} 不属于这里：请移走'; ThisDisk = '这是 {0} 盘，全部磁盘如下：'
        NotGood = '有问题：损坏 {0} 个，缺少 {1} 个，完好 {2} 个。只需从原件重新复制损坏的文件。'
        Incomplete = '不完整：缺少 {0} 个，完好 {1} 个。如果其余文件在别的磁盘上，这是正常的：check.ps1 -Subset'
        Nothing = '有问题：这里没有数据包的任何文件。'; AllGood = '完好：这块盘上的全部内容没有损坏（{0} 个文件）。'
    }
} else {
    $said = @{
        NoSums = 'SHA256SUMS is not here: there is nothing to check against. Copy it again from the original.'
        TakeDisk = 'take disk {0} back'; TakeThis = 'take this disk back'
        Volume = 'volume {0} of {1} ({2})'; Parity = 'parity file {0} ({1})'
        ForeignLine = 'DAMAGED    SHA256SUMS has a line that is not one of ours: {0}'; Elsewhere = 'elsewhere  {0}'
        Absent = 'MISSING    {0} is not on this disk'; NoFile = 'DAMAGED    {0} is not a file: {1}'; Intact = 'good       {0}'
        Broken = 'DAMAGED    {0} is damaged: {1}'; Foreign = 'FOREIGN    {0} does not belong here: move it away'
        ThisDisk = 'This is disk {0} of these:'
        NotGood = 'NOT GOOD: {0} damaged, {1} missing, {2} good. Copy the damaged files again from the original, nothing else.'
        Incomplete = 'INCOMPLETE: {0} missing, {1} good. If the others are on other disks, this is fine: check.ps1 -Subset'
        Nothing = 'NOT GOOD: nothing of the bundle is here.'
        AllGood = 'GOOD: everything that is on this disk is undamaged ({0} files).'
    }
}
$here = Split-Path -Parent $MyInvocation.MyCommand.Path
$sums = Join-Path $here 'SHA256SUMS'
if (-not (Test-Path -LiteralPath $sums -PathType Leaf)) {
    Write-Output $said.NoSums
    exit 2
}

# Which disk this is and where the other files are, when the bundle was spread over several.
$own = ''
$total = 0
$disks = @()
$list = Join-Path $here 'DISKS.txt'
if (Test-Path -LiteralPath $list -PathType Leaf) {
    foreach ($line in [System.IO.File]::ReadAllLines($list)) {
        if ($line -cmatch '^This disk: ([A-Z]{1,3})$') { $own = $Matches[1] }
        if ($line -cmatch '^disk [A-Z]{1,3}:( [a-z0-9.-]+)*$') {
            $disks += $line
            $total += [regex]::Matches($line, ' volume-[0-9]+\.tar').Count
        }
    }
}
$lines = @([System.IO.File]::ReadAllLines($sums))
if ($total -eq 0) { $total = @($lines | Where-Object { $_ -cmatch '  volume-[0-9]+\.tar$' }).Count }
if ($own) { $take = $said.TakeDisk -f $own } else { $take = $said.TakeThis }

function Get-Title([string]$name) {
    if ($name -cmatch '^volume-0*([0-9]+)\.tar$') { return $said.Volume -f $Matches[1], $total, $name }
    if ($name -cmatch '^parity-0*([0-9]+)\.bin$') { return $said.Parity -f $Matches[1], $name }
    return $name
}

# Not Get-FileHash: Windows 7 does not have it.
function Get-Digest([string]$path) {
    $stream = [System.IO.File]::Open($path, 'Open', 'Read', 'ReadWrite')
    try {
        $algorithm = [System.Security.Cryptography.SHA256]::Create()
        return ([System.BitConverter]::ToString($algorithm.ComputeHash($stream)) -replace '-', '').ToLowerInvariant()
    } finally {
        $stream.Dispose()
    }
}

$good = 0
$bad = 0
$missing = 0
$known = @{}
foreach ($line in $lines) {
    if ($line -cnotmatch '^([0-9a-f]{64})  ([A-Za-z0-9][A-Za-z0-9._-]*)$') {
        Write-Output ($said.ForeignLine -f $take)
        $bad++
        continue
    }
    $sum = $Matches[1]
    $name = $Matches[2]
    $known[$name] = $true
    $title = Get-Title $name
    $path = Join-Path $here $name
    if (-not (Test-Path -LiteralPath $path)) {
        $missing++
        if ($Subset) { Write-Output ($said.Elsewhere -f $title) } else { Write-Output ($said.Absent -f $title) }
        continue
    }
    $item = Get-Item -LiteralPath $path -Force
    if ($item.PSIsContainer -or ($item.Attributes -band [System.IO.FileAttributes]::ReparsePoint)) {
        Write-Output ($said.NoFile -f $title, $take)
        $bad++
        continue
    }
    try { $found = Get-Digest $path } catch { $found = '' }
    if ($found -ceq $sum) {
        Write-Output ($said.Intact -f $title)
        $good++
    } else {
        Write-Output ($said.Broken -f $title, $take)
        $bad++
    }
}
foreach ($item in Get-ChildItem -LiteralPath $here -Force) {
    if ($item.Name -cmatch '^(volume-[0-9]+\.tar|parity-[0-9]+\.bin)$' -and -not $known.ContainsKey($item.Name)) {
        Write-Output ($said.Foreign -f $item.Name)
        $bad++
    }
}

Write-Output ''
if ($disks.Count -gt 0) {
    Write-Output ($said.ThisDisk -f $own)
    foreach ($line in $disks) { Write-Output "  $line" }
}
if ($bad -gt 0) {
    Write-Output ($said.NotGood -f $bad, $missing, $good)
    exit 4
}
if ($missing -gt 0 -and -not $Subset) {
    Write-Output ($said.Incomplete -f $missing, $good)
    exit 4
}
if ($good -eq 0) {
    Write-Output $said.Nothing
    exit 4
}
Write-Output ($said.AllGood -f $good)
exit 0
