//! What `team remove` says: who left, what they could reach, and which secrets to set again.

use super::{failure::Outcome, output::Terminal, text};
use crate::admin::dto::LeavingReceipt;

/// Shows a receipt.
pub fn show(terminal: &mut Terminal, receipt: &LeavingReceipt) -> Outcome {
    let who = &receipt.member;
    if receipt.username.is_none() {
        let sentence = format!("The invitation of {who} was taken back.");
        return terminal.done(&sentence, receipt, who);
    }
    let revoked = [
        text::counted(receipt.tokens_revoked.len() as u64, "token"),
        text::counted(receipt.keys_revoked, "API key"),
        text::counted(receipt.sessions_ended, "session"),
    ];
    let [tokens, keys, sessions] = revoked;
    let sentence =
        format!("{who} was removed from @{}. Ended at once: {tokens}, {keys}, {sessions}.", receipt.namespace);
    terminal.done(&sentence, receipt, who)?;
    if !terminal.is_plain() {
        return Ok(());
    }
    for lines in [reached(receipt), seen(receipt), rotate(receipt)] {
        for line in lines {
            terminal.line(&line)?;
        }
    }
    for one in &receipt.untold {
        terminal.warn(&format!("Not known. {one}"));
    }
    if receipt.rotate.is_empty() && receipt.untold.is_empty() {
        terminal.line("No shared secret was used by their calls as it is now: nothing has to be rotated.")?;
    }
    Ok(())
}

fn reached(receipt: &LeavingReceipt) -> Vec<String> {
    let mut lines: Vec<String> = receipt
        .could_reach
        .iter()
        .map(|one| match one.servers.as_slice() {
            [] => format!("  {}", one.workspace),
            servers => format!("  {}: {}", one.workspace, servers.join(", ")),
        })
        .collect();
    if !lines.is_empty() {
        lines.insert(0, "They could reach:".to_owned());
    }
    lines
}

fn seen(receipt: &LeavingReceipt) -> Vec<String> {
    let mut lines: Vec<String> = receipt.tokens_seen.iter().map(|token| format!("  {token}")).collect();
    if !lines.is_empty() {
        lines.insert(0, "They issued these tokens for others and saw their values; they still work:".to_owned());
    }
    lines
}

fn rotate(receipt: &LeavingReceipt) -> Vec<String> {
    let mut lines: Vec<String> = receipt
        .rotate
        .iter()
        .map(|one| {
            let only = one.workspace.as_deref().map(|slug| format!(" --workspace {slug}")).unwrap_or_default();
            let used = text::counted(one.calls, "call");
            let last = text::minute(one.last_call_at);
            format!("  aerostack secrets set {} {}{only}   # {used}, the last {last}", one.server, one.secret)
        })
        .collect();
    if !lines.is_empty() {
        lines.insert(0, "Their calls used these shared secrets as they still are; set them again:".to_owned());
    }
    lines
}
