# fish completion for airgap
function __airgap_complete
    set -l before (commandline -opc)
    set -l current (commandline -ct)
    $before[1] completion fish -- $before "$current" 2>/dev/null
end
complete -c airgap -f -a '(__airgap_complete)'
