//! `logs tail`: the calls of a workspace as they end. A stream that ends is asked for again, with growing pauses while
//! the gateway is away; what the gateway refuses ends the command.

use std::time::Duration;

use clap::{Args, Subcommand};

use super::{
    client::Query,
    failure::{Failure, Outcome},
    output::{Align, Cell, Column, Rows, Sheet, Terminal},
    session::Session,
    text,
};
use crate::admin::dto::{Call, MissedCalls};

/// Runnable examples of `logs`.
pub const EXAMPLES: &str = "Examples:
  aerostack logs tail --workspace engineering
  aerostack logs tail --workspace engineering --user \"Alice Chen\" --errors
  aerostack logs tail -o json";

/// How often in a row a gateway that is away is asked again.
const ATTEMPTS: u32 = 7;
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(15);

/// Calls.
#[derive(Debug, Subcommand)]
pub enum LogsCommand {
    /// Show calls as they end, until you end it
    #[command(after_help = EXAMPLES)]
    Tail(TailArgs),
}

/// What `logs tail` takes.
#[derive(Debug, Args)]
pub struct TailArgs {
    /// Workspace [default: the current one]
    #[arg(short, long, value_name = "SLUG")]
    workspace: Option<String>,
    /// Only calls of one person or token
    #[arg(long, value_name = "NAME")]
    user: Option<String>,
    /// Only calls to one MCP server
    #[arg(long, value_name = "SLUG")]
    server: Option<String>,
    /// Only calls of one tool
    #[arg(long, value_name = "NAME")]
    tool: Option<String>,
    /// Only calls that failed
    #[arg(long)]
    errors: bool,
}

/// Runs `logs …`.
pub async fn run(session: &mut Session, terminal: &mut Terminal, command: LogsCommand) -> Outcome {
    let LogsCommand::Tail(args) = command;
    let workspace = session.workspace(args.workspace)?;
    let mut query: Query<'_> = Vec::new();
    query.extend(args.user.map(|user| ("user", user)));
    query.extend(args.server.map(|server| ("server", server)));
    query.extend(args.tool.map(|tool| ("tool", tool)));
    query.extend(args.errors.then(|| ("failed", "true".to_owned())));
    let mut tail = Tail { rows: Rows::default(), watched: false };
    let (mut attempts, mut pause) = (0, FIRST_PAUSE);
    loop {
        let seen = tail.follow(session, terminal, &workspace, query.clone()).await;
        if terminal.is_closed() {
            return Ok(());
        }
        match seen {
            Ok(()) => (attempts, pause) = (0, FIRST_PAUSE),
            Err(failure) if !tail.watched || !failure.is_of_the_way() || attempts >= ATTEMPTS => return Err(failure),
            Err(_away) => attempts += 1,
        }
        terminal.note("The stream ended; calls until it is back are not shown.");
        actix_web::rt::time::sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

struct Tail {
    rows: Rows,
    /// It worked once.
    watched: bool,
}

impl Tail {
    /// Shows what comes until the stream ends.
    async fn follow(
        &mut self,
        session: &mut Session,
        terminal: &mut Terminal,
        workspace: &str,
        query: Query<'_>,
    ) -> Outcome {
        let mut events = session.client()?.events(&["workspaces", workspace, "calls", "stream"], query).await?;
        if !std::mem::replace(&mut self.watched, true) {
            terminal.note(&format!("Watching {workspace}; end it with Ctrl-C."));
        }
        while let Some(event) = events.next().await? {
            match event.event.as_deref() {
                Some("call") => self.call(terminal, &read(&event.data)?)?,
                Some("missed") => {
                    let MissedCalls { missed } = read(&event.data)?;
                    terminal
                        .warn(&format!("{} left out: this was not read fast enough", text::counted(missed, "call")));
                }
                _ => {}
            }
            if terminal.is_closed() {
                break;
            }
        }
        Ok(())
    }

    fn call(&mut self, terminal: &mut Terminal, call: &Call) -> Outcome {
        let mut sheet = Sheet::new([
            Column("TIME (UTC)", "at", Align::Left),
            Column("USER", "user", Align::Left),
            Column("TOOL", "tool", Align::Left),
            Column("RESULT", "outcome", Align::Left),
            Column("MS", "latency_ms", Align::Right),
            Column("CLIENT", "client", Align::Left),
        ]);
        let outcome = match (call.outcome.as_str(), call.error_code) {
            ("ok", _) => "ok".to_owned(),
            (_, Some(code)) => format!("error {code}"),
            _ => "the tool failed".to_owned(),
        };
        let ms = call.latency_us.div_ceil(1000);
        sheet.row([
            Cell::both(text::second(call.at), text::exact(call.at)),
            Cell::text(&call.user),
            Cell::text(&call.tool),
            Cell::both(outcome, &call.outcome),
            Cell::number(ms),
            Cell::text(&call.client),
        ]);
        self.rows.show(terminal, call, &sheet, &call.id)
    }
}

fn read<T: serde::de::DeserializeOwned>(data: &[u8]) -> Outcome<T> {
    serde_json::from_slice(data)
        .map_err(|_their_text| Failure::unreachable("the stream holds something else than calls"))
}
