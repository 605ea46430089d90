//! The page of failures, from the one table.

use std::fmt::Write as _;

use super::markdown::text;
use crate::error::ErrorCode;

/// A section for every kind of failure; its id is what the `type` of a problem document ends with.
pub fn page() -> String {
    let mut out = String::new();
    for code in ErrorCode::ALL {
        let anchor = code.page();
        let anchor = anchor.split_once('#').map_or("", |(_, anchor)| anchor);
        let (legacy, modern) = (code.gateway_status(), code.modern_status());
        let status = if legacy == modern { legacy.to_string() } else { format!("{legacy}, in 2026-07-28: {modern}") };
        let rpc = match (code.rpc(), code.modern_rpc()) {
            (legacy, modern) if legacy == modern => format!("`{legacy}`"),
            (legacy, modern) => format!("`{legacy}`, in 2026-07-28: `{modern}`"),
        };
        let _infallible = write!(
            out,
            "\n## {} {{#{anchor}}}\n\n{}\n\n**What to do:** {}\n\n\
             | Where | Code | HTTP |\n|---|---|---|\n| Admin API | `{}` | {} |\n| Inside `/ws` | {rpc} | {status} |\n",
            text(code.title()),
            text(code.when()),
            text(code.remedy()),
            code.name(),
            code.admin_status(),
        );
    }
    out
}
