# nushell, in config.nu:  source machine.nu  after  machine completion nushell | save -f machine.nu
# Other commands keep the completer that they have.
let machine_completer_of_others = $env.config.completions.external.completer?
$env.config.completions.external.enable = true
$env.config.completions.external.completer = {|spans|
    if $spans.0 == "machine" {
        let index = ($spans | length) - 1
        ^machine complete nushell $index "--" ...$spans | complete | get stdout | lines | each {|line|
            let parts = ($line | split row -n 2 "\t")
            { value: $parts.0, description: ($parts.1? | default "") }
        }
    } else if $machine_completer_of_others != null {
        do $machine_completer_of_others $spans
    }
}
