"""The scripts that make a shell ask airgap how a command line continues. Packages install them; `airgap completion` prints them."""

from __future__ import annotations

_BASH = r"""# bash completion for airgap
_airgap() {
    local line
    COMPREPLY=()
    while IFS= read -r line; do
        COMPREPLY+=("$line")
    done < <("$1" completion bash -- "${COMP_LINE:0:COMP_POINT}" "${COMP_WORDS[COMP_CWORD]}" 2>/dev/null)
}
complete -o nospace -F _airgap airgap
"""

_ZSH = r"""#compdef airgap
# zsh completion for airgap
_airgap() {
    local kind value text
    local -a whole whole_text part part_text
    while IFS=$'\t' read -r kind value text; do
        if [[ $kind == whole ]]; then
            whole+=("$value"); whole_text+=("$value${text:+  -- $text}")
        else
            part+=("$value"); part_text+=("$value")
        fi
    done < <("${words[1]}" completion zsh -- "${(@Q)words[1,CURRENT]}" 2>/dev/null)
    (( $#whole )) && compadd -l -d whole_text -a whole
    (( $#part )) && compadd -S '' -d part_text -a part
    return 0
}
if [[ ${funcstack[1]} == _airgap ]]; then
    _airgap "$@"
else
    compdef _airgap airgap
fi
"""

_FISH = r"""# fish completion for airgap
function __airgap_complete
    set -l before (commandline -opc)
    set -l current (commandline -ct)
    $before[1] completion fish -- $before "$current" 2>/dev/null
end
complete -c airgap -f -a '(__airgap_complete)'
"""

SCRIPTS = {"bash": _BASH, "zsh": _ZSH, "fish": _FISH}
