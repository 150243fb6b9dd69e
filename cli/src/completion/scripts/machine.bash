# bash: source <(machine completion bash)
# (bash 3.2 of macOS cannot read that: eval "$(machine completion bash)")
_machine() {
    local line
    COMPREPLY=()
    while IFS= read -r line; do
        COMPREPLY+=("$line")
    done < <(command machine complete bash "$COMP_CWORD" -- "${COMP_WORDS[@]:0:COMP_CWORD+1}" 2>/dev/null)
    # What is not finished yet gets no space behind it.
    if [[ ${#COMPREPLY[@]} -eq 1 && ${COMPREPLY[0]} == *[:/=] ]]; then
        compopt -o nospace 2>/dev/null
    fi
    return 0
}
complete -F _machine machine
