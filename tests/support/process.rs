//! The gateway as a process of its own: the real binary, a folder of its own, nothing of this user's environment.

use std::{
    fs::{self, File},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Output, Stdio},
    sync::Arc,
    time::Duration,
};

use tempfile::TempDir;

use super::{
    Admin, Editor, Request, Response,
    wait::{self, DEADLINE},
};

/// How a gateway is started.
#[derive(Clone)]
pub struct Setup {
    folder: Arc<TempDir>,
    environment: Vec<(String, String)>,
    bind: String,
}

impl Default for Setup {
    fn default() -> Self {
        let folder = tempfile::Builder::new().prefix("aerostack-test-").tempdir().expect("a folder");
        Setup { folder: Arc::new(folder), environment: Vec::new(), bind: "127.0.0.1:0".into() }
    }
}

impl Setup {
    /// With a setting, as the environment says it: `limits.calls` is `AEROSTACK_LIMITS_CALLS`.
    pub fn set(self, setting: &str, value: impl ToString) -> Self {
        let name = format!("AEROSTACK_{}", setting.replace('.', "_").to_ascii_uppercase());
        self.env(&name, &value.to_string())
    }
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.environment.retain(|(found, _)| found != name);
        self.environment.push((name.into(), value.into()));
        self
    }
    /// What an environment variable is set to.
    pub fn environment(&self, name: &str) -> Option<String> {
        self.environment.iter().find(|(found, _)| found == name).map(|(_, value)| value.clone())
    }
    pub fn bind(mut self, address: impl ToString) -> Self {
        self.bind = address.to_string();
        self
    }
    /// Listening on a port that was free just now, and known by this URL.
    pub fn known_as(self, public_url: &str) -> Self {
        let free = std::net::TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
        self.bind(free.expect("a port")).set("server.public_url", public_url)
    }
    /// With its files in memory, where there is such a place: for what does not depend on the disk and writes a lot.
    pub fn in_memory(mut self) -> Self {
        let made = tempfile::Builder::new().prefix("aerostack-test-").tempdir_in("/dev/shm");
        if let Ok(folder) = made {
            self.folder = Arc::new(folder);
        }
        self
    }
    pub fn data_dir(&self) -> PathBuf {
        self.folder.path().join("data")
    }
    pub fn config_dir(&self) -> PathBuf {
        self.folder.path().join("config")
    }
    fn log_file(&self) -> PathBuf {
        self.folder.path().join("log")
    }
    fn out_file(&self) -> PathBuf {
        self.folder.path().join("out")
    }
    /// The binary with nothing of this user's environment.
    pub fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_aerostack"));
        for (name, _) in std::env::vars() {
            if ["AEROSTACK_", "WORKFLOW_", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "RUST_LOG"]
                .iter()
                .any(|prefix| name.to_ascii_uppercase().starts_with(prefix))
            {
                command.env_remove(name);
            }
        }
        command.env("AEROSTACK_CONFIG_DIR", self.config_dir()).env("HOME", self.folder.path());
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command.current_dir(self.folder.path()).stdin(Stdio::null());
        command
    }
    fn serve(&self) -> Command {
        let mut command = self.command();
        command.args(["serve", "--bind", &self.bind, "--ops-bind", "127.0.0.1:0", "--data-dir"]);
        command.arg(self.data_dir());
        command
    }
    /// Starts it and waits for its banner.
    #[track_caller]
    pub fn start(self) -> TestGateway {
        let out = File::create(self.out_file()).expect("a file");
        let log = File::options().create(true).append(true).open(self.log_file()).expect("a file");
        let mut child = self.serve().stdout(out).stderr(log).spawn().expect("the gateway starts");
        let mut banner = String::new();
        wait::until("the banner", || {
            banner = fs::read_to_string(self.out_file()).unwrap_or_default();
            let over = child.try_wait().expect("a status").is_some();
            let ready = banner.contains("Operators ") && banner.ends_with('\n');
            ready || over
        });
        let address = |label: &str, end: &str| -> Option<SocketAddr> {
            let line = banner.lines().find(|line| line.trim_start().starts_with(label))?;
            line.split("://").nth(1)?.split(end).next()?.parse().ok()
        };
        // With a public URL the banner says that one.
        let bound = self.bind.parse::<SocketAddr>().ok().filter(|bound| bound.port() != 0);
        let (Some(address), Some(ops)) = (bound.or_else(|| address("Gateway", "/ws")), address("Operators", "/"))
        else {
            let log = fs::read_to_string(self.log_file()).unwrap_or_default();
            let _already_over = child.kill();
            panic!("the gateway did not start: {:?}\n{banner}\n{log}", child.wait());
        };
        let key = fs::read_to_string(self.data_dir().join("admin-key")).unwrap_or_default().trim().to_owned();
        TestGateway { setup: self, child, address, ops, key }
    }
    /// Starts it where it must not start, and gives what it said. It is ended if it starts all the same.
    #[track_caller]
    pub fn fails(&self) -> Output {
        let mut child =
            self.serve().stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the program can be run");
        let over = wait::within(DEADLINE, || child.try_wait().expect("a status").is_some());
        let _already_over = child.kill();
        let output = child.wait_with_output().expect("its output");
        assert!(over, "it started although it must not: {}", String::from_utf8_lossy(&output.stdout));
        output
    }
}

/// A running gateway; ended when dropped.
pub struct TestGateway {
    pub setup: Setup,
    child: Child,
    pub address: SocketAddr,
    pub ops: SocketAddr,
    pub key: String,
}

impl TestGateway {
    pub fn setup() -> Setup {
        Setup::default()
    }
    /// The admin API.
    pub fn admin(&self) -> Admin {
        Admin::new(self.address, &self.key)
    }
    /// The admin API with a key of an earlier start.
    pub fn admin_with(&self, key: &str) -> Admin {
        Admin::new(self.address, key)
    }
    /// A client of a workspace with a token.
    pub fn editor(&self, slug: &str, token: &str) -> Editor {
        Editor::new(self.address, &format!("/ws/{slug}"), token)
    }
    /// A page of the operators' listener.
    #[track_caller]
    pub fn operators(&self, path: &str) -> Response {
        Request::get(path).send(self.ops)
    }
    /// Everything it has logged and printed.
    pub fn log(&self) -> String {
        let read = |path: &Path| fs::read_to_string(path).unwrap_or_default();
        read(&self.setup.log_file()) + &read(&self.setup.out_file())
    }
    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }
    /// Sends a signal.
    pub fn signal(&self, name: &str) {
        let sent = Command::new("kill").args([&format!("-{name}"), &self.pid().to_string()]).status();
        assert!(sent.expect("kill runs").success());
    }
    /// Waits for its end.
    #[track_caller]
    pub fn ended(&mut self, limit: Duration) -> ExitStatus {
        let mut status = None;
        let over = wait::within(limit, || {
            status = self.child.try_wait().expect("a status");
            status.is_some()
        });
        assert!(over, "still running after {limit:?}\n{}", self.log());
        status.expect("over")
    }
    /// Stops it as an operator would and starts it again on the same folder and address.
    #[track_caller]
    pub fn restart(&mut self) {
        self.signal("TERM");
        let status = self.ended(DEADLINE);
        assert_eq!(status.code(), Some(0), "{}", self.log());
        self.start_again();
    }
    /// Kills it without a word and starts it again on the same folder and address.
    #[track_caller]
    pub fn kill_and_restart(&mut self) {
        self.signal("KILL");
        self.ended(DEADLINE);
        self.start_again();
    }
    /// Starts it again after its end, on the same folder and address.
    #[track_caller]
    pub fn start_again(&mut self) {
        let key = self.key.clone();
        let next = self.setup.clone().bind(self.address).start();
        *self = next;
        self.key = key;
    }
}

impl Drop for TestGateway {
    fn drop(&mut self) {
        let _already_over = self.child.kill();
        let _reaped = self.child.wait();
        if std::thread::panicking() {
            let log = self.log();
            let from = log.char_indices().rev().nth(6000).map_or(0, |(at, _)| at);
            eprintln!("--- the gateway said:\n{}", &log[from..]);
        }
    }
}
