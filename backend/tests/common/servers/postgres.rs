//! A PostgreSQL server.

use std::path::PathBuf;
use std::process::Command;

use super::{Server, command, folder, free_port, program, start};

/// Kept out of every message: tests look for it.
pub const PASSWORD: &str = "pa55-of-the-database";

/// A server with an empty database.
pub struct Postgres {
    server: Server,
    port: u16,
}

impl Postgres {
    pub fn start() -> Self {
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
        let mut postgres = command(&tool("postgres"), folder.path());
        postgres.arg("-D").arg(&data).args(["-p", &port.to_string(), "-k", "", "-h", "127.0.0.1"]);
        for setting in ["fsync=off", "max_connections=120", "shared_buffers=64MB", "log_statement=none"] {
            postgres.args(["-c", setting]);
        }
        let ready = tool("pg_isready");
        let server = start(postgres, folder, || {
            Command::new(&ready)
                .args(["-q", "-h", "127.0.0.1", "-p", &port.to_string()])
                .status()
                .unwrap()
                .success()
        });
        Self { server, port }
    }

    pub fn url(&self) -> String {
        format!("postgres://tester:{PASSWORD}@127.0.0.1:{}/postgres", self.port)
    }

    /// What psql says to one statement, without decoration.
    pub fn ask(&self, sql: &str) -> String {
        let said = command(&tool("psql"), self.server.folder.path())
            .env("PGPASSWORD", PASSWORD)
            .args(["-h", "127.0.0.1", "-p", &self.port.to_string(), "-U", "tester", "-d", "postgres"])
            .args(["-At", "-c", sql])
            .output()
            .unwrap();
        assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
        String::from_utf8(said.stdout).unwrap().trim().to_owned()
    }
}

/// Debian keeps the tools of each version apart; the newest will do.
fn tool(name: &str) -> PathBuf {
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut found: Vec<PathBuf> =
        versions.map(|v| v.path().join("bin").join(name)).filter(|p| p.is_file()).collect();
    found.sort();
    found.pop().unwrap_or_else(|| program(&[name], "postgresql"))
}
