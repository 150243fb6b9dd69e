# fish: machine completion fish | source, or this text as ~/.config/fish/completions/machine.fish
function __machine_complete
    set -l words (commandline -opc) (commandline -ct)
    command machine complete fish (math (count $words) - 1) -- $words 2>/dev/null
end
complete -c machine -f -a '(__machine_complete)'
