//! Plans: how much a namespace may have. Data, so that an operator can hand out small ones; the default is unlimited.

use crate::error::{Error, ErrorCode, Result, err};

/// A namespace's plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Plan {
    /// 3 tokens per workspace, 1 workspace.
    Free,
    /// 25 tokens per workspace, 5 workspaces.
    Pro,
    /// 100 tokens per workspace, 20 workspaces.
    Team,
    /// No limits.
    #[default]
    Enterprise,
}

impl Plan {
    /// The stored name; an unknown one has no limits, because a typing error must not lock people out.
    pub fn parse(text: &str) -> Self {
        match text {
            "free" => Plan::Free,
            "pro" => Plan::Pro,
            "team" => Plan::Team,
            _ => Plan::Enterprise,
        }
    }
    /// The plan that an operator names.
    pub fn named(text: &str) -> Result<Self> {
        [Plan::Free, Plan::Pro, Plan::Team, Plan::Enterprise]
            .into_iter()
            .find(|plan| plan.as_str().eq_ignore_ascii_case(text))
            .ok_or_else(|| err::validation("There is no such plan").with_hint("free, pro, team or enterprise"))
    }
    /// The name as it is stored.
    pub const fn as_str(self) -> &'static str {
        match self {
            Plan::Free => "free",
            Plan::Pro => "pro",
            Plan::Team => "team",
            Plan::Enterprise => "enterprise",
        }
    }
    /// The name as it is shown (`4 of 25 tokens used (Pro plan)`).
    pub const fn title(self) -> &'static str {
        match self {
            Plan::Free => "Free",
            Plan::Pro => "Pro",
            Plan::Team => "Team",
            Plan::Enterprise => "Enterprise",
        }
    }
    /// Active tokens per workspace; none: unlimited.
    pub const fn tokens(self) -> Option<u64> {
        match self {
            Plan::Free => Some(3),
            Plan::Pro => Some(25),
            Plan::Team => Some(100),
            Plan::Enterprise => None,
        }
    }
    /// Workspaces; none: unlimited.
    pub const fn workspaces(self) -> Option<u64> {
        match self {
            Plan::Free => Some(1),
            Plan::Pro => Some(5),
            Plan::Team => Some(20),
            Plan::Enterprise => None,
        }
    }

    /// The refusal when `used` of `limit` things are there already.
    pub fn exceeded(self, what: &str, used: u64, limit: u64) -> Error {
        Error::new(ErrorCode::PlanLimit, format!("The {} plan allows {limit} {what}; {used} are in use", self.title()))
            .with_hint("Remove one that is no longer needed, or ask the operator for a larger plan")
            .with_data(serde_json::json!({ "plan": self.as_str(), "used": used, "limit": limit }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plans_have_the_promised_limits() {
        let limits =
            [Plan::Free, Plan::Pro, Plan::Team, Plan::Enterprise].map(|plan| (plan.tokens(), plan.workspaces()));
        assert_eq!(limits, [(Some(3), Some(1)), (Some(25), Some(5)), (Some(100), Some(20)), (None, None)]);
        assert_eq!(Plan::parse("pro"), Plan::Pro);
        assert_eq!(Plan::named("Team").unwrap(), Plan::Team);
        assert!(Plan::named("gold").is_err());
        assert_eq!(Plan::parse("anything else").tokens(), None);
    }
}
