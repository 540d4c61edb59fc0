//! `dyno replay`: a recorded run on the screens of a live one, with seek and speed.

use std::time::Duration;

use dashboard::app::{Capabilities, Play, UiCommand};
use timeline::recorder::Player;
use timeline::{MonoNs, RunTime};

use crate::cli::ReplayArgs;
use crate::ended::{user_error, warn};
use crate::follow::find;
use crate::outcome::{Outcome, UserError};
use crate::run::prepare::check_terminal;
use crate::run::{diagnose, stop};
use crate::screen::Screen;

/// Time from step to step: keys are answered within it.
const STEP: Duration = Duration::from_millis(50);

/// Where in the recording we are, and how fast we go.
struct Pace {
    at: RunTime,
    speed: u16,
    held: bool,
}

impl Pace {
    /// The instant after `passed`, no later than `length`, whatever was asked for meanwhile.
    fn step(&mut self, passed: Duration, length: RunTime) {
        if !self.held {
            self.at = self.at + passed * u32::from(self.speed);
        }
        self.at = self.at.min(length);
    }

    fn change(&mut self, play: Play) {
        match play {
            Play::Hold(held) => self.held = held,
            Play::Speed(speed) => self.speed = speed,
            Play::Seek(by) if by < 0 => self.at = self.at.back(Duration::from_secs(by.unsigned_abs())),
            Play::Seek(by) => self.at = self.at + Duration::from_secs(by.unsigned_abs()),
        }
    }
}

/// Runs the command. Lines end with the recording; the dashboard stays until the person leaves.
pub fn play(args: &ReplayArgs) -> anyhow::Result<Outcome> {
    check_terminal(&args.look)?;
    let at = scenarios::duration_ns(&args.at).map_err(UserError::wrong)?;
    let mut player = Player::open(&find::or_newest(args.run.as_deref())?, diagnose).map_err(user_error)?;
    warn(player.damage());
    let mut pace = Pace { at: RunTime(at).min(player.length()), speed: args.speed, held: false };
    let stops = stop::listen()?;
    player.seek(pace.at).map_err(user_error)?;
    let able = Capabilities { load: false, marker: false, report: false, replay: Some(args.speed) };
    let screen = Screen::start(&args.look, None, able, player.published())?;
    let mut last = MonoNs::now();
    loop {
        let mut ends =
            stops.asked() > 0 || screen.is_gone() || (pace.at >= player.length() && !screen.stays());
        while let Some(command) = screen.command() {
            match command {
                UiCommand::Play(change) => pace.change(change),
                other => ends |= stop::ends(&other),
            }
        }
        if ends {
            break;
        }
        std::thread::sleep(STEP);
        let now = MonoNs::now();
        pace.step(now.since(last), player.length());
        last = now;
        player.seek(pace.at).map_err(user_error)?;
    }
    screen.close();
    Ok(Outcome::Pass)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pace_stays_inside_the_recording() {
        let length = RunTime(10_000_000_000);
        let mut pace = Pace { at: RunTime::ZERO, speed: 4, held: false };
        pace.step(Duration::from_secs(1), length);
        assert_eq!(pace.at, RunTime(4_000_000_000));
        pace.change(Play::Seek(-10));
        assert_eq!(pace.at, RunTime::ZERO);
        pace.change(Play::Hold(true));
        pace.step(Duration::from_secs(1), length);
        assert_eq!(pace.at, RunTime::ZERO, "what is held does not move");
        pace.change(Play::Seek(60));
        pace.step(Duration::ZERO, length);
        assert_eq!(pace.at, length, "held at the end, not beyond it");
        pace.change(Play::Seek(-1));
        assert_eq!(pace.at, RunTime(9_000_000_000));
        pace.change(Play::Hold(false));
        pace.change(Play::Seek(60));
        pace.step(Duration::ZERO, length);
        assert_eq!(pace.at, length);
    }
}
