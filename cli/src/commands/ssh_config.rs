//! ssh-config

use machine_app::App;
use machine_core::Result;

use crate::arguments::SshConfig;
use crate::progress::Manner;

pub fn run(app: &App, words: &SshConfig, manner: Manner) -> Result<i32> {
    let shown = manner.begin(None);
    if words.install {
        let file = app.install_ssh_config()?;
        shown.say(&format!("{} includes the machines now: `ssh NAME` leads to each that runs.", file.display()));
        return Ok(0);
    }
    if words.uninstall {
        let file = app.uninstall_ssh_config()?;
        shown.say(&format!("{} includes them no more.", file.display()));
        return Ok(0);
    }
    let names = if words.names.is_empty() { Vec::new() } else { super::several::names(app, &words.names)? };
    let config = app.ssh_config(&names)?;
    print!("{}", config.text);
    for name in &config.off {
        shown.say(&format!("\"{name}\" is left out: it has no address, because it does not run."));
    }
    Ok(0)
}
