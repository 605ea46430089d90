//! What a check-up says.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// How something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum CheckState {
    /// As it should be.
    Ok,
    /// It works; something should be done.
    Warn,
    /// It does not work.
    Fail,
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Check {
    /// What was looked at.
    #[schema(example = "database")]
    pub about: String,
    /// How it is.
    pub state: CheckState,
    /// What was found.
    pub found: String,
    /// What to do, unless all is well.
    pub fix: Option<String>,
}

impl Check {
    /// All is well.
    pub fn ok(about: &str, found: impl Into<String>) -> Self {
        Check { about: about.to_owned(), state: CheckState::Ok, found: found.into(), fix: None }
    }
    /// Something should be done.
    pub fn warn(about: &str, found: impl Into<String>, fix: impl Into<String>) -> Self {
        Check { state: CheckState::Warn, fix: Some(fix.into()), ..Check::ok(about, found) }
    }
    /// Something does not work.
    pub fn fail(about: &str, found: impl Into<String>, fix: impl Into<String>) -> Self {
        Check { state: CheckState::Fail, fix: Some(fix.into()), ..Check::ok(about, found) }
    }
}

/// A check-up of the gateway, and of the namespace that is acted in.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct CheckUp {
    /// Everything that was looked at.
    pub data: Vec<Check>,
}
