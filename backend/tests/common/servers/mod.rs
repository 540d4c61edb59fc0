//! PostgreSQL, Redis and RabbitMQ, started by the tests themselves: on free ports, in folders of their own, as a
//! user without rights, and gone with the test, also when it fails or is killed.

mod port;
pub mod postgres;
pub mod rabbit;
pub mod redis;

use std::fs::File;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

pub use port::free_port;
use tempfile::TempDir;

/// Servers are up within a few seconds on an idle machine; this one may be busy.
const PATIENCE: Duration = Duration::from_secs(90);
/// Who runs servers when the tests are run by root, which PostgreSQL refuses. Every system has this user.
const NOBODY: &str = "nobody";

/// A server process in a folder of its own; killed when dropped.
pub struct Server {
    child: Child,
    /// Gone after the process.
    pub folder: TempDir,
}

impl Server {
    /// setpriv becomes the server, so its number is the server's.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Asks it to end as PostgreSQL is asked to, and starts it once more after `meanwhile`.
    pub fn restart(&mut self, mut command: Command, ready: impl Fn() -> bool, meanwhile: impl FnOnce()) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
        self.child.wait().unwrap();
        meanwhile();
        let log = self.folder.path().join("log.txt");
        self.child = spawn(&mut command, &log);
        self.wait_for(&command, &log, ready);
    }

    fn wait_for(&mut self, command: &Command, log: &Path, ready: impl Fn() -> bool) {
        let step = Duration::from_millis(50);
        for _ in 0..PATIENCE.as_millis() / step.as_millis() {
            if ready() {
                return;
            }
            if let Some(status) = self.child.try_wait().unwrap() {
                panic!(
                    "{command:?} ended with {status}: {}",
                    std::fs::read_to_string(log).unwrap_or_default()
                );
            }
            std::thread::sleep(step);
        }
        panic!("{command:?} is not ready: {}", std::fs::read_to_string(log).unwrap_or_default());
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The path of a program of Debian's `package`; a clear failure where it is missing.
pub fn program(names: &[&str], package: &str) -> PathBuf {
    let path = std::env::var("PATH").unwrap_or_default();
    let candidates = names.iter().flat_map(|name| {
        let folders = path.split(':').map(|folder| Path::new(folder).join(name));
        if name.starts_with('/') { vec![PathBuf::from(name)] } else { folders.collect() }
    });
    let found = candidates.into_iter().find(|p| p.is_file());
    found.unwrap_or_else(|| {
        panic!("none of {names:?} is installed: this test needs the package {package} (./test --install)")
    })
}

/// A folder that the servers' user owns.
pub fn folder() -> TempDir {
    let folder = tempfile::Builder::new().prefix("dyno-test-").tempdir().unwrap();
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    if rustix::process::geteuid().is_root() {
        let (user, group) = ids();
        chown(folder.path(), Some(user), Some(group)).unwrap();
    }
    folder
}

fn ids() -> (u32, u32) {
    let users = std::fs::read_to_string("/etc/passwd").unwrap();
    let fields: Vec<&str> =
        users.lines().map(|l| l.split(':').collect()).find(|f: &Vec<&str>| f[0] == NOBODY).unwrap();
    (fields[2].parse().unwrap(), fields[3].parse().unwrap())
}

/// `program` as the servers' user, killed by the kernel when this process dies, with nothing of our environment.
pub fn command(program: &Path, home: &Path) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL"]);
    if rustix::process::geteuid().is_root() {
        let (user, group) = ids();
        command.args([format!("--reuid={user}"), format!("--regid={group}"), "--clear-groups".to_owned()]);
    }
    command.arg("--").arg(program);
    command
        .env_clear()
        .env("PATH", std::env::var("PATH").unwrap_or_default())
        .env("HOME", home)
        .env("LC_ALL", "C");
    command.current_dir(home).stdin(Stdio::null());
    command
}

/// Starts a server whose output goes to a file in its folder, and waits until `ready` says so.
pub fn start(mut command: Command, folder: TempDir, ready: impl Fn() -> bool) -> Server {
    let log = folder.path().join("log.txt");
    let child = spawn(&mut command, &log);
    let mut server = Server { child, folder };
    server.wait_for(&command, &log, ready);
    server
}

fn spawn(command: &mut Command, log: &Path) -> Child {
    let out = File::create(log).unwrap();
    command.stdout(out.try_clone().unwrap()).stderr(out).spawn().expect("setpriv starts it")
}
