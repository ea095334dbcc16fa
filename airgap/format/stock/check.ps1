# Checks the files of an airgap bundle on this disk, with what every Windows has. Needs no key, no network, no rights.
#
#   powershell -NoProfile -ExecutionPolicy Bypass -File check.ps1           everything that SHA256SUMS lists must be here
#   powershell -NoProfile -ExecutionPolicy Bypass -File check.ps1 -Subset   what is not here is on other disks
#
# Exit codes: 0 good, 2 cannot check, 4 damaged or incomplete.
# It proves that the files are those that SHA256SUMS lists. Who made them, only the signatures of the catalog prove.

param([switch]$Subset)

$ErrorActionPreference = 'Stop'
$here = Split-Path -Parent $MyInvocation.MyCommand.Path
$sums = Join-Path $here 'SHA256SUMS'
if (-not (Test-Path -LiteralPath $sums -PathType Leaf)) {
    Write-Output 'SHA256SUMS is not here: there is nothing to check against. Copy it again from the original.'
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
if ($own) { $take = "take disk $own back" } else { $take = 'take this disk back' }

function Get-Title([string]$name) {
    if ($name -cmatch '^volume-0*([0-9]+)\.tar$') { return "volume $($Matches[1]) of $total ($name)" }
    if ($name -cmatch '^parity-0*([0-9]+)\.bin$') { return "parity file $($Matches[1]) ($name)" }
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
        Write-Output "DAMAGED    SHA256SUMS has a line that is not one of ours: $take"
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
        if ($Subset) { Write-Output "elsewhere  $title" } else { Write-Output "MISSING    $title is not on this disk" }
        continue
    }
    $item = Get-Item -LiteralPath $path -Force
    if ($item.PSIsContainer -or ($item.Attributes -band [System.IO.FileAttributes]::ReparsePoint)) {
        Write-Output "DAMAGED    $title is not a file: $take"
        $bad++
        continue
    }
    try { $found = Get-Digest $path } catch { $found = '' }
    if ($found -ceq $sum) {
        Write-Output "good       $title"
        $good++
    } else {
        Write-Output "DAMAGED    $title is damaged: $take"
        $bad++
    }
}
foreach ($item in Get-ChildItem -LiteralPath $here -Force) {
    if ($item.Name -cmatch '^(volume-[0-9]+\.tar|parity-[0-9]+\.bin)$' -and -not $known.ContainsKey($item.Name)) {
        Write-Output "FOREIGN    $($item.Name) does not belong here: move it away"
        $bad++
    }
}

Write-Output ''
if ($disks.Count -gt 0) {
    Write-Output "This is disk $own of these:"
    foreach ($line in $disks) { Write-Output "  $line" }
}
if ($bad -gt 0) {
    Write-Output "NOT GOOD: $bad damaged, $missing missing, $good good. Copy the damaged files again from the original, nothing else."
    exit 4
}
if ($missing -gt 0 -and -not $Subset) {
    Write-Output "INCOMPLETE: $missing missing, $good good. If the others are on other disks, this is fine: check.ps1 -Subset"
    exit 4
}
if ($good -eq 0) {
    Write-Output 'NOT GOOD: nothing of the bundle is here.'
    exit 4
}
Write-Output "GOOD: everything that is on this disk is undamaged ($good files)."
exit 0
