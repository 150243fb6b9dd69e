#compdef machine
# zsh: eval "$(machine completion zsh)", or this text as a file _machine in a folder of $fpath
_machine() {
    local line value
    local -a whole whole_shown open open_shown
    while IFS= read -r line; do
        value=${line%%$'\t'*}
        [[ -n $value ]] || continue
        [[ $line == *$'\t'* ]] && line="$value  -- ${line#*$'\t'}"
        if [[ $value == *[:/=] ]]; then
            open+=("$value")
            open_shown+=("$line")
        else
            whole+=("$value")
            whole_shown+=("$line")
        fi
    done < <(command machine complete zsh $((CURRENT - 1)) -- "${(@Q)words[1,CURRENT]}" 2>/dev/null)
    (( ${#whole} )) && compadd -l -d whole_shown -a whole
    # What is not finished yet gets no space behind it.
    (( ${#open} )) && compadd -l -S '' -d open_shown -a open
    return 0
}
if [[ ${funcstack[1]-} == _machine ]]; then
    _machine "$@"
else
    (( ${+functions[compdef]} )) || { autoload -Uz compinit && compinit -i; }
    compdef _machine machine
fi
