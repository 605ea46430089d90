//! `mcp import`: an editor's mcp.json becomes definitions here, and the credentials in its headers go into the vault.

use super::{
    failure::{Failure, Outcome},
    mcp::ImportArgs,
    output::Terminal,
    session::Session,
};

/// Imports a file.
pub async fn run(_session: &mut Session, _terminal: &mut Terminal, _args: ImportArgs) -> Outcome {
    Err(Failure::local("mcp import is not built yet"))
}
