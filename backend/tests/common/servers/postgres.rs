//! A PostgreSQL server.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::{Server, command, folder, free_port, program, start};

/// Kept out of every message: tests look for it.
pub const PASSWORD: &str = "pa55-of-the-database";

/// A server with an empty database.
pub struct Postgres {
    server: Server,
    port: u16,
    settings: Vec<String>,
}

impl Postgres {
    pub fn start() -> Self {
        Self::start_with(&[])
    }

    /// With these settings besides.
    pub fn start_with(settings: &[&str]) -> Self {
        let folder = folder();
        let data = folder.path().join("data");
        let secret = folder.path().join("secret");
        std::fs::write(&secret, PASSWORD).unwrap();
        let made = command(&tool("initdb"), folder.path())
            .args(["--auth=scram-sha-256", "--username=tester", "--no-sync", "--encoding=UTF8", "--locale=C"])
            .arg("--pwfile")
            .arg(&secret)
            .arg("--pgdata")
            .arg(&data)
            .output()
            .unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let port = free_port();
        let settings: Vec<String> = settings.iter().map(|s| (*s).to_owned()).collect();
        let server = start(postgres(folder.path(), port, &settings), folder, ready(port));
        Self { server, port, settings }
    }

    /// Stops it and starts it again on the same port, with what it holds.
    pub fn restart(&mut self, meanwhile: impl FnOnce()) {
        let again = postgres(self.server.folder.path(), self.port, &self.settings);
        self.server.restart(again, ready(self.port), meanwhile);
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// A tool of the package, as the one user of the one database.
    pub fn tool(&self, name: &str) -> Command {
        let mut command = command(&tool(name), self.server.folder.path());
        command.env("PGPASSWORD", PASSWORD).args(["-h", "127.0.0.1", "-p", &self.port.to_string()]);
        command.args(["-U", "tester"]);
        command
    }

    pub fn url(&self) -> String {
        format!("postgres://tester:{PASSWORD}@127.0.0.1:{}/postgres", self.port)
    }

    /// What psql says to one statement, without decoration.
    pub fn ask(&self, sql: &str) -> String {
        let said = self.tool("psql").args(["-d", "postgres", "-At", "-c", sql]).output().unwrap();
        assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
        String::from_utf8(said.stdout).unwrap().trim().to_owned()
    }
}

fn postgres(folder: &Path, port: u16, settings: &[String]) -> Command {
    let mut postgres = command(&tool("postgres"), folder);
    postgres.arg("-D").arg(folder.join("data")).args(["-p", &port.to_string(), "-k", "", "-h", "127.0.0.1"]);
    let usual = ["fsync=off", "max_connections=120", "shared_buffers=64MB", "log_statement=none"];
    for setting in usual.into_iter().chain(settings.iter().map(String::as_str)) {
        postgres.args(["-c", setting]);
    }
    postgres
}

fn ready(port: u16) -> impl Fn() -> bool {
    let tool = tool("pg_isready");
    let port = port.to_string();
    move || Command::new(&tool).args(["-q", "-h", "127.0.0.1", "-p", &port]).status().unwrap().success()
}

/// Debian keeps the tools of each version apart; the newest will do.
fn tool(name: &str) -> PathBuf {
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut found: Vec<PathBuf> =
        versions.map(|v| v.path().join("bin").join(name)).filter(|p| p.is_file()).collect();
    found.sort();
    found.pop().unwrap_or_else(|| program(&[name], "postgresql"))
}
