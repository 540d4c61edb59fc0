//! The terminal itself: taking it over and giving it back, whatever happens.
//!
//! Owns raw mode, the alternate screen, the panic hook and the writer that puts a whole frame out in one
//! write. The dashboard goes to standard error, so that standard output stays free for reports.

use std::io::{self, Write};
use std::panic::{self, PanicHookInfo};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use ratatui::Terminal;
use ratatui::backend::CrosstermBackend;
use ratatui::crossterm::event::{DisableMouseCapture, EnableMouseCapture};
use ratatui::crossterm::style::force_color_output;
use ratatui::crossterm::terminal::{
    EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode,
};
use ratatui::crossterm::{cursor, execute};

use crate::theme::Palette;

type Hook = Box<dyn Fn(&PanicHookInfo<'_>) + Sync + Send>;

/// Bytes that a frame's buffer starts with; a busy screen of 200 x 60 needs about as many.
const FRAME_BYTES: usize = 64 << 10;

/// Collects a frame and writes it at once; writes nothing once the terminal was given back, so that a
/// frame half drawn when another thread panicked cannot spoil the shell's screen.
pub(crate) struct FrameWriter {
    bytes: Vec<u8>,
    over: Arc<AtomicBool>,
}

impl Write for FrameWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        let mut out = io::stderr().lock();
        let result = if self.over.load(Ordering::Acquire) { Ok(()) } else { out.write_all(&self.bytes) };
        self.bytes.clear();
        result.and_then(|()| out.flush())
    }
}

/// A terminal that was taken over; dropping it gives it back.
pub(crate) struct Tty {
    /// Where frames are drawn.
    pub terminal: Terminal<CrosstermBackend<FrameWriter>>,
    over: Arc<AtomicBool>,
    mouse: bool,
    hook: Arc<Hook>,
}

impl Tty {
    /// Takes the terminal over. `over` becomes true when it is given back, also by a panic of any thread.
    ///
    /// # Errors
    /// If there is no terminal, or it cannot be switched.
    pub fn take(palette: Palette, mouse: bool, over: Arc<AtomicBool>) -> io::Result<Self> {
        // The theme decides alone: with colours off it has none to write, and with `--color always`
        // crossterm must not drop them because of NO_COLOR.
        force_color_output(palette != Palette::None);
        enable_raw_mode()?;
        let hook = install_hook(&over, mouse);
        let writer = FrameWriter { bytes: Vec::with_capacity(FRAME_BYTES), over: Arc::clone(&over) };
        let entered = execute!(io::stderr(), EnterAlternateScreen, cursor::Hide)
            .and_then(|()| if mouse { execute!(io::stderr(), EnableMouseCapture) } else { Ok(()) });
        match entered.and_then(|()| Terminal::new(CrosstermBackend::new(writer))) {
            Ok(terminal) => Ok(Self { terminal, over, mouse, hook }),
            Err(e) => {
                give_back(&over, mouse);
                remove_hook(hook);
                Err(e)
            }
        }
    }
}

impl Tty {
    /// Gives it to a shell for a while: the process is about to be stopped.
    ///
    /// # Errors
    /// If it cannot be switched.
    pub fn lay_down(&mut self) -> io::Result<()> {
        if self.mouse {
            execute!(io::stderr(), DisableMouseCapture)?;
        }
        execute!(io::stderr(), LeaveAlternateScreen, cursor::Show)?;
        disable_raw_mode()
    }

    /// Takes it over once more: the process was stopped, and a shell has had the terminal meanwhile.
    ///
    /// # Errors
    /// If it cannot be switched.
    pub fn take_again(&mut self) -> io::Result<()> {
        // Raw mode is thought to be on still: only turned off and on is it set anew.
        disable_raw_mode()?;
        enable_raw_mode()?;
        execute!(io::stderr(), EnterAlternateScreen, cursor::Hide)?;
        if self.mouse {
            execute!(io::stderr(), EnableMouseCapture)?;
        }
        self.terminal.clear()
    }
}

impl Drop for Tty {
    fn drop(&mut self) {
        give_back(&self.over, self.mouse);
        remove_hook(Arc::clone(&self.hook));
    }
}

/// Gives the terminal back once. Failures are ignored: there is nothing left to show them on.
fn give_back(over: &AtomicBool, mouse: bool) {
    // The lock keeps a frame from being written after the screen was left.
    let mut out = io::stderr().lock();
    if over.swap(true, Ordering::AcqRel) {
        return;
    }
    if mouse {
        let _ = execute!(out, DisableMouseCapture);
    }
    let _ = execute!(out, LeaveAlternateScreen, cursor::Show);
    let _ = disable_raw_mode();
}

/// A panic of any thread gives the terminal back before its message is printed, and so ends the dashboard:
/// it is a fault of dyno, and it must be seen.
fn install_hook(over: &Arc<AtomicBool>, mouse: bool) -> Arc<Hook> {
    let before: Arc<Hook> = Arc::new(panic::take_hook());
    let (inner, over) = (Arc::clone(&before), Arc::clone(over));
    panic::set_hook(Box::new(move |info| {
        give_back(&over, mouse);
        inner(info);
    }));
    before
}

fn remove_hook(before: Arc<Hook>) {
    // The hook cannot be changed by a panicking thread; ours does nothing but the old one's work by now.
    if !std::thread::panicking() {
        panic::set_hook(Box::new(move |info| before(info)));
    }
}
