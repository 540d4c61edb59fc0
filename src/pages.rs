//! Pages made from the command line's own description: completions and the man page.

use std::io::{self, Write};

use crate::outcome::Outcome;

/// Prints a completion script.
pub fn completions(command: &mut clap::Command, shell: clap_complete::Shell) -> anyhow::Result<Outcome> {
    let mut out = Vec::new();
    clap_complete::generate(shell, command, "dyno", &mut out);
    io::stdout().write_all(&out)?;
    Ok(Outcome::Pass)
}

/// Prints the man page.
pub fn man(command: clap::Command) -> anyhow::Result<Outcome> {
    let mut out = Vec::new();
    clap_mangen::Man::new(command).render(&mut out)?;
    io::stdout().write_all(&out)?;
    Ok(Outcome::Pass)
}
