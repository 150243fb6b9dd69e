# elvish, in rc.elv: eval (machine completion elvish | slurp)
use str
set edit:completion:arg-completer[machine] = {|@words|
    e:machine complete elvish (to-string (- (count $words) 1)) -- $@words | from-lines | each {|line|
        var parts = [(str:split &max=2 "\t" $line)]
        var value = $parts[0]
        var suffix = ' '
        if (or (str:has-suffix $value /) (str:has-suffix $value :) (str:has-suffix $value =)) {
            set suffix = ''
        }
        if (== (count $parts) 2) {
            edit:complex-candidate $value &code-suffix=$suffix &display=$value"  -- "$parts[1]
        } else {
            edit:complex-candidate $value &code-suffix=$suffix
        }
    }
}
