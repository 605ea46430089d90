//! `mcp edit`: change a definition.

use clap::{Args, ValueEnum as _};

use super::{
    failure::{Failure, Outcome},
    mcp::Protocol,
    output::Terminal,
    session::Session,
};
use crate::{
    admin::dto::{Secret, Server, UpdateServer},
    domain::period,
};

/// Runnable examples of `mcp edit`.
pub const EXAMPLES: &str = "Examples:
  aerostack mcp edit internal-api --timeout 60s --max-in-flight 8
  aerostack mcp edit internal-api --title \"Internal API\"
  aerostack mcp edit internal-api --timeout default
  aerostack mcp edit internal-api --url https://api.acme.example/mcp";

/// Takes an own setting away: as the gateway is set.
const DEFAULT: &str = "default";

/// A secret's state after its server went to another origin.
const NEEDS_REENTRY: &str = "needs_reentry";

/// What `mcp edit` takes. What is left out stays.
#[derive(Debug, Args)]
pub struct EditArgs {
    /// MCP server
    slug: String,
    /// Where it is reached; at another origin its secrets wait to be set again
    #[arg(long)]
    url: Option<String>,
    /// Its name for people
    #[arg(long)]
    title: Option<String>,
    /// How it is talked to
    #[arg(long, value_enum)]
    protocol: Option<Protocol>,
    /// Longest wait for an answer to begin: 30s, 2m, …, or `default`
    #[arg(long, value_name = "TIME")]
    timeout: Option<String>,
    /// Longest whole call, or `default`
    #[arg(long, value_name = "TIME")]
    total_timeout: Option<String>,
    /// Most calls at once, or `default`
    #[arg(long, value_name = "N")]
    max_in_flight: Option<String>,
}

/// Changes a definition; every workspace that has it uses it as it is now from the next call on.
pub async fn run(session: &mut Session, terminal: &mut Terminal, args: EditArgs) -> Outcome {
    let said =
        [&args.url, &args.title, &args.timeout, &args.total_timeout, &args.max_in_flight].into_iter().flatten().count();
    if said == 0 && args.protocol.is_none() {
        return Err(Failure::usage("nothing is to be changed").with_hint("aerostack mcp edit --help"));
    }
    let moves = args.url.is_some();
    let body = UpdateServer {
        url: args.url,
        title: args.title,
        protocol: args.protocol.and_then(|choice| Some(choice.to_possible_value()?.get_name().to_owned())),
        timeout_seconds: seconds(args.timeout.as_deref())?,
        total_seconds: seconds(args.total_timeout.as_deref())?,
        max_in_flight: calls(args.max_in_flight.as_deref())?,
    };
    let client = session.client()?;
    let changed: Server = client.patch(&["mcp-servers", &args.slug], vec![], &body).await?;
    terminal.done(&format!("Changed {} ({}).", changed.slug, changed.url), &changed, &changed.slug)?;
    if moves {
        let secrets: Vec<Secret> = client.list(&["mcp-servers", &args.slug, "secrets"], vec![]).await?;
        for secret in secrets.iter().filter(|secret| secret.state == NEEDS_REENTRY) {
            let again =
                format!("  {0} is bound to the old address: aerostack secrets set {1} {0}", secret.name, changed.slug);
            terminal.footer(&again)?;
        }
    }
    Ok(())
}

/// 0 says: as the gateway is set. Nobody gets there by a number.
fn seconds(text: Option<&str>) -> Outcome<Option<u64>> {
    match text {
        None => Ok(None),
        Some(DEFAULT) => Ok(Some(0)),
        Some(text) => match period::parse(text)? {
            0 => Err(Failure::usage("a time is at least a second").with_hint("`default` is how the gateway is set")),
            seconds => Ok(Some(seconds)),
        },
    }
}

fn calls(text: Option<&str>) -> Outcome<Option<u64>> {
    match text {
        None => Ok(None),
        Some(DEFAULT) => Ok(Some(0)),
        Some(text) => match text.parse() {
            Ok(calls) if calls > 0 => Ok(Some(calls)),
            _ => Err(Failure::usage("--max-in-flight takes a number from 1 on, or default")),
        },
    }
}
