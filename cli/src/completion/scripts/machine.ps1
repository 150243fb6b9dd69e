# PowerShell, in $PROFILE: machine completion powershell | Out-String | Invoke-Expression
Register-ArgumentCompleter -Native -CommandName 'machine' -ScriptBlock {
    param($wordToComplete, $commandAst, $cursorPosition)
    $words = @($commandAst.CommandElements |
        Where-Object { $_.Extent.StartOffset -lt $cursorPosition } |
        ForEach-Object { if ($_ -is [System.Management.Automation.Language.StringConstantExpressionAst]) { $_.Value } else { $_.ToString() } })
    # An empty word would be lost on the way to a program: the index says that there is one.
    $index = if ($wordToComplete -eq '') { $words.Count } else { $words.Count - 1 }
    & (Get-Command -Name 'machine' -CommandType Application -TotalCount 1) complete powershell $index '--' @words 2>$null | ForEach-Object {
        $value, $help = $_ -split "`t", 2
        if (-not $help) { $help = $value }
        $typed = if ($value -match '[^\w./\\:=~+%-]') { "'" + $value.Replace("'", "''") + "'" } else { $value }
        [System.Management.Automation.CompletionResult]::new($typed, $value, 'ParameterValue', $help)
    }
}
