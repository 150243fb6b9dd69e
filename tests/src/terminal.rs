//! A terminal: script(1) gives a program one, and this is who sits at it.

use std::time::Duration;

use crate::{Run, Running, Scene, find_program};

/// A shell line that runs at a terminal of its own.
pub struct Terminal {
    program: Running,
    seen: usize,
}

impl Terminal {
    /// Runs a line of sh at a terminal with `rows` and `columns`.
    pub fn open(scene: &Scene, rows: u16, columns: u16, line: &str) -> Self {
        let line = format!("stty rows {rows} cols {columns}; {line}");
        let script = scene.program(find_program("script")).args(["-q", "-e", "-c", &line, "/dev/null"]);
        let path = std::env::join_paths(
            std::iter::once(crate::machine_program().parent().unwrap().to_owned())
                .chain(std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default())),
        )
        .unwrap();
        let program = script.env("SHELL", "/bin/sh").env("PATH", path).limit(Duration::from_secs(90)).start();
        Self { program, seen: 0 }
    }

    /// Types.
    pub fn types(&mut self, text: &str) {
        self.program.write(text.as_bytes());
    }

    /// Waits until the screen has shown `text`, after what was waited for before.
    #[track_caller]
    pub fn shows(&mut self, text: &str) {
        self.seen = self.program.prints_after(self.seen, text);
    }

    /// Waits for the end of the line's program.
    #[track_caller]
    pub fn ends(self) -> Run {
        self.program.finish()
    }
}
