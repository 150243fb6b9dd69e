//! Templates as people write them; what Go makes of each was looked up in the documentation of text/template and fmt.

use machine_template::{Missing, Template};
use proptest::prelude::*;
use serde_json::{Value, json};

fn machine() -> Value {
    json!({
        "Name": "dev",
        "Driver": { "IPAddress": "192.0.2.7", "SSHPort": 22, "Tags": ["a", "b"], "Monitoring": false },
        "HostOptions": { "Labels": { "z": "last", "a": "first" } },
        "Nothing": null,
    })
}

fn render(text: &str) -> Result<String, String> {
    let template = Template::parse(text).map_err(|error| error.to_string())?;
    template.render(&machine(), Missing::NoValue).map_err(|error| error.to_string())
}

#[test]
fn templates_are_rendered_as_go_does() {
    for (template, made) in [
        ("{{.Name}}", "dev"),
        ("{{ .Name }}\t{{.Driver.IPAddress}}", "dev\t192.0.2.7"),
        ("{{.Driver.SSHPort}} {{.Driver.Monitoring}} {{.Driver.Tags}}", "22 false [a b]"),
        ("{{.HostOptions.Labels}}", "map[a:first z:last]"),
        ("{{.Nowhere}} {{.Nowhere.Deeper}} {{.Nothing}}", "<no value> <no value> <no value>"),
        ("{{json .Driver.Tags}} {{.Driver.Tags | json}}", r#"["a","b"] ["a","b"]"#),
        ("{{prettyjson .Driver.Tags}}", "[\n    \"a\",\n    \"b\"\n]"),
        ("{{index .Driver.Tags 1}} {{index .HostOptions.Labels \"a\"}}", "b first"),
        ("{{index .HostOptions \"Labels\" \"z\"}}", "last"),
        ("{{if .Driver.Monitoring}}yes{{else}}no{{end}}", "no"),
        ("{{if eq .Name \"x\"}}x{{else if eq .Name \"dev\"}}d{{else}}-{{end}}", "d"),
        ("{{if and .Name (not .Driver.Monitoring)}}both{{end}}", "both"),
        ("{{range .Driver.Tags}}<{{.}}>{{end}}", "<a><b>"),
        ("{{range $i, $tag := .Driver.Tags}}{{$i}}={{$tag}} {{$.Name}};{{end}}", "0=a dev;1=b dev;"),
        ("{{range $k, $v := .HostOptions.Labels}}{{$k}}:{{$v}} {{end}}", "a:first z:last "),
        ("{{range .Nothing}}x{{else}}none{{end}}", "none"),
        ("{{with .Driver}}{{.SSHPort}}{{end}}{{with .Nothing}}x{{else}}-{{end}}", "22-"),
        ("{{$x := .Name}}{{$x}}{{$x = \"other\"}}{{$x}}", "devother"),
        ("a {{- /* nothing */ -}} b {{- .Name -}} c", "abdevc"),
        ("{{printf \"%-5s|%4d|%q|%v%%\" .Name .Driver.SSHPort .Name .Driver.Tags}}", "dev  |  22|\"dev\"|[a b]%"),
        ("{{len .Driver.Tags}} {{len .Name}}", "2 3"),
        (
            "{{upper .Name}} {{title \"one two\"}} {{join .Driver.Tags \"-\"}} {{split \"a,b\" \",\"}}",
            "DEV One Two a-b [a b]",
        ),
        ("{{lt 1 2}} {{ge \"b\" \"a\"}} {{ne 1 1.0}} {{eq 3 1 2 3}}", "true true false true"),
        ("{{(index .Driver.Tags 0) | upper}} {{print \"a\" 1}} {{`raw \\n`}}", "A a1 raw \\n"),
        ("{{\"{{\"}} no }} action", "{{ no }} action"),
    ] {
        assert_eq!(render(template).as_deref(), Ok(made), "{template}");
    }
}

#[test]
fn what_makes_no_sense_is_said_with_its_place() {
    for (template, why) in [
        ("{{.Name", "character 1: the braces are not closed"),
        ("ä {{}}", "character 3: nothing is in the braces"),
        ("{{nope .}}", "character 3: the function \"nope\" is not known"),
        ("{{$x}}", "character 3: the variable $x is not known"),
        ("{{range .}}{{$x := 1}}{{end}}{{$x}}", "the variable $x is not known"),
        ("{{if .}}", "character 3: there is no {{end}} to this"),
        ("{{end}}", "character 3: {{end}} ends nothing"),
        ("{{.Name .Driver}}", "character 3: a value takes no arguments"),
        ("{{.Name | .Driver}}", "what follows `|` must be a function"),
        ("{{(.Name}}", "a parenthesis is not closed"),
        ("{{\"open}}", "a text that does not end"),
        ("{{index .Driver.Tags 5}}", "character 3: index: the list of 2 has no place 5"),
        ("{{template \"x\"}}", "`template` is not known here"),
        ("{{.Name.Deeper}}", "a text has no field Deeper"),
        ("{{#}}", "'#' means nothing here"),
        ("{{if .}}{{else}}{{else}}{{end}}", "there is no {{end}} to this"),
    ] {
        let error = render(template).unwrap_err();
        assert!(error.contains(why), "{template}: {error}");
    }
    let struct_like = Template::parse("{{.Nmae}}").unwrap().render(&json!({ "Name": "dev" }), Missing::Error);
    assert_eq!(struct_like.unwrap_err().to_string(), "there is no field Nmae; there are Name");
}

proptest! {
    #[test]
    fn any_text_is_survived(text in "(\\PC|\\{\\{|\\}\\}|[-.$|():= \"`]|range |if |else|end|with |index |printf |\\.Name|\\.Driver){0,60}") {
        if let Ok(template) = Template::parse(&text) {
            let _made = template.render(&machine(), Missing::NoValue);
        }
    }

    #[test]
    fn text_without_braces_is_itself(text in "[^{}]{0,60}") {
        prop_assert_eq!(render(&text).unwrap(), text);
    }

    #[test]
    fn a_quoted_text_is_printed_as_it_is(text in "\\PC{0,40}") {
        prop_assert_eq!(render(&format!("{{{{{}}}}}", Value::from(text.as_str()))).unwrap(), text);
    }
}
