//! MCP servers that are programs on this machine, spoken to over their standard input and output.
//!
//! A program never runs in the gateway's own surroundings: it is started by a [`launcher`], with an environment made
//! from an allow-list and its own secrets, in a folder of its own, with limits, and it is gone, with all that descends
//! from it, when the gateway lets go of it or is gone itself. What may run at all is said by files on this machine
//! ([`folder`]) or, if the operator allows it, by an allow-list of commands.

use std::{
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    rc::Rc,
    sync::Arc,
    time::Duration,
};

use tempfile::TempDir;
use uuid::Uuid;

use crate::{
    config::StdioConfig,
    domain::{
        ids::ServerId,
        program::Program,
        server::{ProtocolChoice, ServerSpec},
    },
    protocol::{jsonrpc, revision::Revision, scrub::Scrubber},
    upstream::{
        EventStream, Refusal, UpstreamError, Wire,
        ask::{self, Question, Reply},
        mint::Mint,
        negotiate::{self, Era},
        patience::Patience,
        relay::Outlet,
    },
};

mod child;
mod confine;
pub mod folder;
pub mod launcher;
mod lines;
mod pace;
pub mod starts;
mod strays;
mod tail;
mod tree;

pub use child::{Child, Inlet};
pub use launcher::Launch;
pub use lines::Lines;

/// What is waited for a program's end after its output has ended, to tell why.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// Where the folders of clients' own programs are, in a server's folder.
const CLIENTS: &str = "clients";

/// A folder that programs may write into. One that was made for a single program is deleted with the last handle.
#[derive(Debug, Clone)]
pub struct Folder {
    path: PathBuf,
    _fleeting: Option<Arc<TempDir>>,
}

/// The folders in a folder that is one itself: a link leads elsewhere.
fn folders_in(folder: &Path) -> Vec<(String, PathBuf)> {
    let is_folder = |path: &Path| std::fs::symlink_metadata(path).is_ok_and(|seen| seen.is_dir());
    let entries = is_folder(folder).then(|| std::fs::read_dir(folder)).into_iter().flatten().flatten().flatten();
    let named = entries.map(|entry| (entry.file_name().to_string_lossy().into_owned(), entry.path()));
    named.filter(|(_, path)| is_folder(path)).collect()
}

/// What this machine gives to programs.
#[derive(Debug, Clone, Default)]
pub struct Host {
    /// Limits.
    pub config: StdioConfig,
    /// The gateway's data folder: holds the definitions and the programs' own folders, and is hidden from them.
    pub data_dir: PathBuf,
}

impl Host {
    fn home(&self) -> PathBuf {
        match self.config.home_dir.as_os_str().is_empty() {
            true => self.data_dir.join("children"),
            false => self.config.home_dir.clone(),
        }
    }

    /// The folder of one server's programs, or of the one that is about to be started for a single client.
    pub fn folder(&self, server: ServerId, for_one_client: bool) -> std::io::Result<Folder> {
        let path = self.home().join(server.0.simple().to_string());
        if !for_one_client {
            return Ok(Folder { path, _fleeting: None });
        }
        let clients = path.join(CLIENTS);
        std::fs::create_dir_all(&clients)?;
        // Its owner may be another user, who only has to get through to the folders inside.
        let prefix = format!("{}-", std::process::id());
        let may_pass = std::fs::Permissions::from_mode(0o711);
        let made = tempfile::Builder::new().prefix(&prefix).permissions(may_pass).tempdir_in(clients)?;
        Ok(Folder { path: made.path().to_owned(), _fleeting: Some(Arc::new(made)) })
    }

    /// Ends what gateways that were killed left running, and deletes what they left of clients' programs and the
    /// folders of servers that are no more.
    pub fn sweep(&self, servers: &[ServerId]) {
        let ended = strays::end(&self.home());
        if ended > 0 {
            tracing::warn!(ended, "processes that an earlier gateway's programs had left were ended");
        }
        let known: Vec<String> = servers.iter().map(|server| server.0.simple().to_string()).collect();
        for (name, server) in folders_in(&self.home()) {
            // A folder that was chosen may hold more than what is this gateway's.
            if Uuid::try_parse(&name).is_err() {
                continue;
            }
            if self.config.home_dir.as_os_str().is_empty() && !known.contains(&name) {
                let _left_for_the_next = std::fs::remove_dir_all(&server);
            }
            for (name, client) in folders_in(&server.join(CLIENTS)) {
                let gateway = name.split_once('-').and_then(|(gateway, _)| gateway.parse::<u32>().ok());
                if gateway.is_some_and(|gateway| !Path::new("/proc").join(gateway.to_string()).exists()) {
                    let _left_for_the_next = std::fs::remove_dir_all(client);
                }
            }
        }
    }

    /// What programs must not see: their own folder is opened to each again.
    pub fn hidden(&self) -> Vec<PathBuf> {
        let mut hidden = self.config.hide.clone();
        hidden.extend([self.data_dir.clone(), self.home()]);
        hidden
    }

    /// Whether `program` may be started now: its file still says so, or the operator's allow-list does.
    pub fn allow(&self, slug: &str, spec: &ServerSpec, program: &Program) -> Result<(), Refusal> {
        let refused = |reason: String, remedy: &str| Err(Refusal { reason, remedy: Some(remedy.to_owned()) });
        if !program.from_file {
            let listed = self.config.allow_api && self.config.allow_commands.contains(&program.command);
            return match listed {
                true => Ok(()),
                false => refused(
                    format!("the command {} is not allowed", program.command),
                    "an operator allows it with stdio.allow_api and stdio.allow_commands",
                ),
            };
        }
        match folder::read_one(&self.data_dir, slug) {
            Ok(file) if file.spec.reach == spec.reach => Ok(()),
            Ok(_) => refused(format!("servers.d/{slug}.toml was changed"), "take it over: aerostack mcp reload"),
            Err(error) => refused(error.message().to_owned(), "take it over: aerostack mcp reload"),
        }
    }
}

/// A program that answered.
pub struct Started {
    /// What it is.
    pub connected: crate::upstream::Connected,
    /// Its output.
    pub stream: EventStream,
    /// The process.
    pub child: Rc<Child>,
}

/// How a program is approached.
pub struct Approach<'a> {
    /// What is started.
    pub launch: &'a Launch<'a>,
    /// Its secrets, to keep them out of what it says about itself.
    pub scrubber: &'a Scrubber,
    /// What it is known to speak.
    pub choice: ProtocolChoice,
    /// What it is told that it may ask: a JSON object.
    pub capabilities: &'a str,
    /// What it was found to speak before.
    pub remembered: Option<Era>,
    /// How long it may take.
    pub patience: Patience,
}

/// Starts the program and finds out what it speaks: the handshake first, because many servers end on anything else
/// before it. One that refuses it is started again and asked for 2026-07-28.
///
/// # Errors
/// Why there is no connection, with the last lines of standard error if the program ran.
pub async fn connect(approach: &Approach<'_>) -> Result<Started, (UpstreamError, Vec<String>)> {
    let choice = approach.choice;
    let modern = choice == ProtocolChoice::Modern
        || (choice == ProtocolChoice::Auto && approach.remembered == Some(Era::Modern));
    if modern {
        return approach.run(true).await?.map_err(|refused| (refused, Vec::new()));
    }
    let refused = match approach.run(false).await? {
        Ok(started) => return Ok(started),
        Err(refused) => refused,
    };
    if choice != ProtocolChoice::Auto {
        return Err((refused, Vec::new()));
    }
    // What it said to the handshake tells more than what it says to a revision it may never have heard of.
    approach.run(true).await?.map_err(|_also| (refused, Vec::new()))
}

impl Approach<'_> {
    /// Starts the program and asks it. The inner error: it answered, but does not speak that way.
    async fn run(&self, modern: bool) -> Result<Result<Started, UpstreamError>, (UpstreamError, Vec<String>)> {
        let begun = Child::start(self.launch, self.launch.config, self.scrubber);
        let (child, lines) = begun.map_err(|failure| (failure, Vec::new()))?;
        let outlet = Outlet::Child(child.inlet());
        let mut stream = EventStream::lines(lines, self.launch.stream);
        let question = match modern {
            true => Question::new(Mint::default().mint(), "server/discover", "", true),
            false => negotiate::initialize(self.capabilities),
        };
        let reply = match self.ask(&outlet, &mut stream, &question).await {
            Ok(reply) => reply,
            Err(failure) => return Err(explain(&child, failure).await),
        };
        let judged = match modern {
            true => negotiate::judge_modern(&reply, Wire::Stdio { revision: Revision::MODERN }),
            false => negotiate::judge_initialized(&reply, |revision| Wire::Stdio { revision }),
        };
        let connected = match judged {
            Ok(connected) => connected,
            Err(refused) => return Ok(Err(refused)),
        };
        if !modern {
            let method = "notifications/initialized";
            let confirmed = outlet.send(&jsonrpc::notification(method, None).into(), method, self.patience).await;
            if let Err(failure) = confirmed {
                return Err(explain(&child, failure).await);
            }
        }
        Ok(Ok(Started { connected, stream, child }))
    }

    async fn ask(
        &self,
        outlet: &Outlet,
        stream: &mut EventStream,
        question: &Question,
    ) -> Result<Reply, UpstreamError> {
        let by = self.patience.begin_by();
        outlet.send(&question.body, question.method, self.patience).await?;
        let answer = |id: &[u8], method: &str| outlet.answer(id, method);
        let asked = tokio::time::timeout_at(by.into(), ask::reply_among(stream, &question.id, answer)).await;
        asked.map_err(|_elapsed| UpstreamError::Timeout(self.patience.begin))?
    }
}

/// Why a program that was started gave no answer: how it ended, if it did, and its last words.
async fn explain(child: &Child, failure: UpstreamError) -> (UpstreamError, Vec<String>) {
    let failure = match failure {
        UpstreamError::Cut | UpstreamError::SessionExpired => {
            child.close();
            let how = child.ended(LAST_WORDS).await;
            UpstreamError::Unavailable(how.unwrap_or_else(|| "it closed its output before it answered".into()))
        }
        other => other,
    };
    (failure, child.last_words())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_swept_are_folders_of_programs_and_nothing_else_in_a_folder_that_was_chosen() {
        let (chosen, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let server = ServerId::generate();
        let own = chosen.path().join(server.0.simple().to_string()).join(CLIENTS);
        // No process has this number: it is above the largest that Linux gives.
        let (left, running) = (own.join("99999999-abc"), own.join(format!("{}-abc", std::process::id())));
        let foreign = [
            chosen.path().join("webapp/clients/acme-corp"),
            chosen.path().join("webapp/clients/99999999-corp"),
            own.join("acme-corp"),
            elsewhere.path().join("99999999-abc"),
        ];
        let linked = chosen.path().join(Uuid::now_v7().simple().to_string());
        for folder in [&left, &running, &linked].into_iter().chain(&foreign) {
            std::fs::create_dir_all(folder).unwrap();
        }
        std::os::unix::fs::symlink(elsewhere.path(), linked.join(CLIENTS)).unwrap();
        let config = StdioConfig { home_dir: chosen.path().to_owned(), ..StdioConfig::default() };
        Host { config, data_dir: PathBuf::from("/nowhere") }.sweep(&[server]);
        assert!(!left.exists() && running.exists() && linked.exists());
        for folder in foreign {
            assert!(folder.exists(), "{}", folder.display());
        }
    }
}
