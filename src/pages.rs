//! Pages made from the command line's own description: completions and man pages.

use crate::cli::ManArgs;
use crate::outcome::{Outcome, UserError};
use crate::show::hand_out;

/// Prints a completion script.
pub fn completions(command: &mut clap::Command, shell: clap_complete::Shell) -> anyhow::Result<Outcome> {
    let mut out = Vec::new();
    clap_complete::generate(shell, command, "dyno", &mut out);
    hand_out(&out)
}

/// Prints a man page, or writes all of them: `dyno.1`, `dyno-run.1` and so on.
pub fn man(mut command: clap::Command, args: &ManArgs) -> anyhow::Result<Outcome> {
    if let Some(folder) = &args.out {
        let written =
            std::fs::create_dir_all(folder).and_then(|()| clap_mangen::generate_to(command, folder));
        let cannot = |e| UserError::wrong(format!("cannot write into {}: {e}", folder.display()));
        return written.map(|()| Outcome::Pass).map_err(cannot);
    }
    command.build();
    let mut found = &command;
    for word in &args.command {
        let Some(inner) = found.find_subcommand(word) else {
            let shown = found.get_subcommands().filter(|c| !c.is_hide_set());
            let known: Vec<&str> = shown.map(clap::Command::get_name).collect();
            let name = found.get_bin_name().unwrap_or("dyno");
            return Err(UserError::wrong(format!(
                "`{name}` has no command `{word}`; it has {}",
                if known.is_empty() { "none".to_owned() } else { known.join(", ") }
            )));
        };
        found = inner;
    }
    let mut out = Vec::new();
    clap_mangen::Man::new(found.clone()).render(&mut out)?;
    hand_out(&out)
}
