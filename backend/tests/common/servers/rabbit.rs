//! A RabbitMQ node, apart from whatever the package may have started.

use std::net::TcpStream;
use std::path::PathBuf;
use std::process::Command;

use super::{Server, command, folder, free_port, program, start};

/// Of the one user, whom the node makes at its first start.
pub const PASSWORD: &str = "pa55-of-the-broker";

/// A node and its port mapper.
pub struct Rabbit {
    server: Server,
    _mapper: Server,
    mapper_port: u16,
    port: u16,
    management: u16,
}

impl Rabbit {
    pub fn start() -> Self {
        Self::start_with("[].", "")
    }

    /// With the management plugin, whose figures are a second old at most.
    pub fn managed() -> Self {
        let management = free_port();
        let config = format!(
            "collect_statistics_interval = 1000\nmanagement.tcp.ip = 127.0.0.1\nmanagement.tcp.port = {management}\n\
             management.sample_retention_policies.global.minute = 1\n\
             management.sample_retention_policies.basic.minute = 1\n\
             management.sample_retention_policies.detailed.10 = 1\n"
        );
        Self { management, ..Self::start_with("[rabbitmq_management].", &config) }
    }

    fn start_with(plugins: &str, config_too: &str) -> Self {
        let mapper_port = free_port();
        let mut mapper = command(&program(&["epmd"], "rabbitmq-server"), std::env::temp_dir().as_path());
        mapper.args(["-port", &mapper_port.to_string(), "-address", "127.0.0.1"]);
        // Whoever finds none starts one, which nobody would end.
        let mapper = start(mapper, folder(), || TcpStream::connect(("127.0.0.1", mapper_port)).is_ok());
        let (folder, port) = (folder(), free_port());
        let path = folder.path().to_owned();
        let config = path.join("rabbitmq.conf");
        std::fs::write(
            &config,
            format!("default_user = tester\ndefault_pass = {PASSWORD}\nloopback_users = none\n{config_too}"),
        )
        .unwrap();
        std::fs::write(path.join("plugins"), plugins).unwrap();
        let mut node = node_command("rabbitmq-server", &path, mapper_port);
        node.env("RABBITMQ_NODE_IP_ADDRESS", "127.0.0.1")
            .env("RABBITMQ_NODE_PORT", port.to_string())
            .env("RABBITMQ_DIST_PORT", free_port().to_string())
            .env("RABBITMQ_MNESIA_BASE", path.join("data"))
            .env("RABBITMQ_LOG_BASE", path.join("logs"))
            .env("RABBITMQ_LOGS", "-")
            .env("RABBITMQ_ENABLED_PLUGINS_FILE", path.join("plugins"))
            .env("RABBITMQ_PID_FILE", path.join("pid"))
            .env("RABBITMQ_GENERATED_CONFIG_DIR", path.join("generated"))
            .env("RABBITMQ_CONFIG_FILE", &config)
            // Without a supervising shell in between, which would outlive its own death.
            .env("detached", "1");
        let log = path.join("log.txt");
        let server = start(node, folder, || {
            std::fs::read_to_string(&log).is_ok_and(|said| said.contains("Server startup complete"))
        });
        Self { server, _mapper: mapper, mapper_port, port, management: 0 }
    }

    pub fn url(&self) -> String {
        format!("amqp://tester:{PASSWORD}@127.0.0.1:{}/%2f", self.port)
    }

    /// Of its management plugin, for its one user.
    pub fn management(&self) -> String {
        format!("http://tester@127.0.0.1:{}", self.management)
    }

    /// Of the node.
    pub fn pid(&self) -> u32 {
        self.server.pid()
    }

    /// What rabbitmqctl says.
    pub fn ask(&self, parts: &[&str]) -> String {
        let mut ctl = node_command("rabbitmqctl", self.server.folder.path(), self.mapper_port);
        let said = ctl.args(["-q"]).args(parts).output().unwrap();
        assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
        String::from_utf8(said.stdout).unwrap()
    }
}

/// The package's own scripts behind those that want to become its system user.
fn node_command(name: &str, home: &std::path::Path, mapper_port: u16) -> Command {
    let own = format!("/usr/lib/rabbitmq/bin/{name}");
    let script: PathBuf = program(&[&own], "rabbitmq-server");
    let mut command = command(&script, home);
    command
        .env("RABBITMQ_NODENAME", "dyno-test@localhost")
        .env("RABBITMQ_CONF_ENV_FILE", home.join("none"))
        .env("ERL_EPMD_PORT", mapper_port.to_string())
        .env("ERL_EPMD_ADDRESS", "127.0.0.1")
        // It sizes its table of descriptors by it.
        .env("ERL_MAX_PORTS", "1024");
    command
}
