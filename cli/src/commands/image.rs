//! image ls, pull, import, build, rm, show.

use machine_app::{App, ImageWords};
use machine_core::Result;

use crate::arguments::Image;
use crate::outcome::{Format, bytes, print_json};
use crate::progress::{Manner, took};
use crate::table;

pub fn run(app: &App, command: Image, manner: Manner) -> Result<i32> {
    match command {
        Image::Ls { format } => {
            let images = app.images()?;
            match format {
                Format::Json => print_json(&images),
                Format::Text => println!("{}", text(&images)),
            }
        }
        Image::Pull { name } => {
            let shown = manner.begin(None);
            let result = crate::block_on(app.pull_image(&name, &shown.reporter));
            shown.finish(&result);
            taken_in(&result?, &shown);
        }
        Image::Import { path, name } => {
            let shown = manner.begin(None);
            let result = crate::block_on(app.import_image(&path, name, &shown.reporter));
            shown.finish(&result);
            taken_in(&result?, &shown);
        }
        Image::Build { package_source, in_machine } => {
            let shown = manner.begin(None);
            let result = crate::block_on(app.build_image(package_source, in_machine, &shown.reporter));
            shown.finish(&result);
            taken_in(&result?, &shown);
        }
        Image::Prune => {
            let removed = app.prune_images()?;
            for state in &removed {
                eprintln!("Removed the warm state of {}", state.title);
            }
            eprintln!("Freed {}", bytes(removed.iter().map(|state| state.bytes).sum()));
        }
        Image::Rm { name } => eprintln!("Removed image {}", app.remove_image(&name)?),
        Image::Show { name } => print_json(&app.show_image(&name)?),
    }
    Ok(0)
}

fn taken_in(image: &machine_app::images::Image, shown: &crate::progress::Shown) {
    shown.say(&format!("Image {}@{} is in the store ({}).", image.name, &image.digest[..12], took(shown.elapsed())));
}

fn text(images: &[ImageWords]) -> String {
    let cells: Vec<Vec<String>> = images
        .iter()
        .map(|image| {
            vec![
                image.name.clone(),
                image.digest.clone().unwrap_or_else(|| "-".to_owned()),
                image.arch.map(|arch| arch.as_str().to_owned()).unwrap_or_default(),
                image.size.map(bytes).unwrap_or_default(),
                image.engine_version.clone().unwrap_or_default(),
                status(image),
            ]
        })
        .collect();
    let mut text = table::layout(&["NAME", "DIGEST", "ARCH", "SIZE", "ENGINE", "STATUS"], &cells);
    let warm: Vec<Vec<String>> = images
        .iter()
        .flat_map(|image| &image.warm)
        .map(|state| {
            vec![state.title.clone(), bytes(state.bytes), state.used.strftime("%Y-%m-%d %H:%M UTC").to_string()]
        })
        .collect();
    if !warm.is_empty() {
        text.push_str("\n\n");
        text.push_str(&table::layout(&["WARM STATE", "SIZE", "LAST USED"], &warm));
    }
    text
}

fn status(image: &ImageWords) -> String {
    if let Some(error) = &image.error {
        return format!("broken: {}", error.lines().next().unwrap_or_default());
    }
    if image.url.is_some() {
        return "not here: `machine image pull` downloads it".to_owned();
    }
    let age = if image.current { "current" } else { "older" };
    match image.machines.as_slice() {
        [] => age.to_owned(),
        machines => format!("{age}, used by {}", machines.join(", ")),
    }
}
