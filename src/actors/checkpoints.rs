//! Where checkpoints of the audit chain go besides the log: a file and a command, both outside the database, so that
//! whoever has the database cannot take them back.

use std::{io::Write as _, os::unix::fs::OpenOptionsExt as _, path::PathBuf, process::Stdio, time::Duration};

use tokio::{io::AsyncWriteExt as _, process::Command};

use crate::{
    config::AuditConfig,
    error::{Error, ErrorCode, Result},
};

/// See the module.
#[derive(Debug, Clone)]
pub struct Checkpoints {
    file: Option<PathBuf>,
    command: Vec<String>,
    patience: Duration,
}

impl Checkpoints {
    /// What is configured.
    ///
    /// # Errors
    /// `validation` when the command is not a list of words or the file cannot be appended to.
    pub fn of(config: &AuditConfig) -> Result<Self> {
        let line = config.checkpoint_command.trim();
        let command = if line.starts_with('[') {
            serde_json::from_str(line).map_err(|cause| refused("audit.checkpoint_command", &cause.to_string()))?
        } else {
            line.split_whitespace().map(str::to_owned).collect()
        };
        let file = Some(PathBuf::from(&config.checkpoint_file)).filter(|path| !path.as_os_str().is_empty());
        let patience = Duration::from_secs(config.checkpoint_command_seconds.max(1));
        let checkpoints = Checkpoints { file, command, patience };
        // Said at the start, not when somebody needs the file.
        checkpoints.append("").map_err(|cause| refused("audit.checkpoint_file", &cause.to_string()))?;
        Ok(checkpoints)
    }

    /// The file, if there is one.
    pub fn file(&self) -> Option<&PathBuf> {
        self.file.as_ref()
    }

    /// Hands a line over; says what failed.
    pub(super) async fn put(self, line: String) -> std::result::Result<(), String> {
        let text = format!("{line}\n");
        let (appending, appended) = (self.clone(), text.clone());
        let file = tokio::task::spawn_blocking(move || appending.append(&appended)).await;
        let file = file.map_err(|cause| cause.to_string()).and_then(|done| done.map_err(|cause| cause.to_string()));
        let told = self.tell(&text).await;
        file.map_err(|cause| format!("audit.checkpoint_file: {cause}"))?;
        told.map_err(|cause| format!("audit.checkpoint_command: {cause}"))
    }

    fn append(&self, text: &str) -> std::io::Result<()> {
        let Some(path) = &self.file else { return Ok(()) };
        let mut file = std::fs::OpenOptions::new().append(true).create(true).mode(0o600).open(path)?;
        file.write_all(text.as_bytes())?;
        file.sync_data()
    }

    async fn tell(&self, text: &str) -> std::result::Result<(), String> {
        let Some((program, arguments)) = self.command.split_first() else { return Ok(()) };
        let mut command = Command::new(program);
        command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
        // It needs its own settings (PATH, HOME, …), and nothing of ours.
        let ours = |name: &str| ["WORKFLOW_", "AEROSTACK_", "OTEL_"].iter().any(|begin| name.starts_with(begin));
        std::env::vars_os()
            .filter(|(name, _)| name.to_str().is_none_or(ours))
            .for_each(|(name, _)| _ = command.env_remove(name));
        let mut child = command.spawn().map_err(|cause| format!("cannot start {program}: {cause}"))?;
        let run = async {
            if let Some(mut stdin) = child.stdin.take() {
                stdin.write_all(text.as_bytes()).await?;
            }
            child.wait().await
        };
        match tokio::time::timeout(self.patience, run).await {
            Ok(Ok(status)) if status.success() => Ok(()),
            Ok(Ok(status)) => Err(format!("{program} ended with {status}")),
            Ok(Err(cause)) => Err(format!("{program}: {cause}")),
            Err(_deadline) => Err(format!("{program} took longer than {} s", self.patience.as_secs())),
        }
    }
}

fn refused(setting: &str, cause: &str) -> Error {
    Error::new(ErrorCode::Validation, format!("{setting} cannot be used: {cause}"))
}
