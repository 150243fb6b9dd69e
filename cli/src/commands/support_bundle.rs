//! support-bundle

use machine_app::App;
use machine_core::{MachineName, Result};

use crate::arguments::SupportBundle;
use crate::outcome::{Format, bytes, print_json};

pub fn run(app: &App, arguments: &SupportBundle) -> Result<i32> {
    let names = arguments.names.iter().map(|name| name.parse()).collect::<Result<Vec<MachineName>>>()?;
    let path = arguments.output.clone().unwrap_or_else(|| {
        format!("machine-support-{}.tar.gz", jiff::Timestamp::now().strftime("%Y%m%d-%H%M%S")).into()
    });
    let made = crate::block_on(app.support_bundle(&names, &path, arguments.hide_home))?;
    match arguments.format {
        Format::Json => print_json(&made),
        Format::Text => {
            for (name, size) in &made.files {
                eprintln!("{:>10}  {name}", bytes(*size));
            }
            eprintln!(
                "Keys, tokens and passwords were taken out. Read it before you hand it on: {}",
                bytes(made.bytes)
            );
            println!("{}", made.path.display());
        }
    }
    Ok(0)
}
