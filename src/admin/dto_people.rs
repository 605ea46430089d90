//! What the admin API takes and gives about people: members, invitations, sessions, logins, API keys. Passwords only go
//! in; a key, a link and a login's secret are each in one answer.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::dto::TokenCreated;

/// A namespace that an account is a member of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Membership {
    /// The namespace.
    pub namespace: String,
    /// The role there.
    pub role: String,
}

/// Whether somebody is in already.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum MemberStatus {
    /// A member.
    Active,
    /// Invited, not accepted yet.
    Pending,
}

/// A member of a namespace, or somebody who is invited.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct TeamMember {
    /// How they are called in lists and in the audit log: the e-mail address, else `name@namespace`.
    #[schema(example = "alice@example.com")]
    pub member: String,
    /// User name; `null` while they are only invited.
    pub username: Option<String>,
    /// E-mail address.
    pub email: Option<String>,
    /// `owner`, `admin`, `member` or `viewer`.
    pub role: String,
    /// Whether they are in.
    pub status: MemberStatus,
    /// Since when they are a member.
    pub joined_at: Option<DateTime<Utc>>,
    /// When they were invited, while they have not accepted.
    pub invited_at: Option<DateTime<Utc>>,
    /// Id of the open invitation.
    pub invite: Option<String>,
    /// The workspace that the open invitation gives a token for.
    pub workspace: Option<String>,
    /// When the open invitation ends.
    pub expires_at: Option<DateTime<Utc>>,
}

/// Members and open invitations.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct TeamPage {
    /// Whose team it is.
    pub namespace: String,
    /// Members, longest first, then open invitations.
    pub data: Vec<TeamMember>,
    /// Pass as `?cursor=` to get what follows; `null` at the end.
    pub next_cursor: Option<String>,
}

/// Invites somebody.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct InviteMember {
    /// Their e-mail address; the invitation is for this address only.
    #[schema(example = "alice@example.com")]
    pub email: String,
    /// Their role, `member` unless given; not above your own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<String>,
    /// A workspace: accepting then issues a token of their own for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workspace: Option<String>,
}

/// What became of the mail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum MailState {
    /// The mail server accepted it.
    Sent,
    /// There is no mail server: pass the link on yourself.
    NotConfigured,
    /// The mail server did not accept it: pass the link on yourself.
    Failed,
}

/// An invitation. The link is in this one answer, and only if no mail carries it.
#[derive(Clone, Serialize, Deserialize, ToSchema)]
pub struct InviteCreated {
    /// Id of the invitation.
    pub id: String,
    /// For whom.
    pub email: String,
    /// With which role.
    pub role: String,
    /// Whose team.
    pub namespace: String,
    /// The workspace that accepting gives a token for.
    pub workspace: Option<String>,
    /// When it ends.
    pub expires_at: DateTime<Utc>,
    /// What became of the mail.
    pub mail: MailState,
    /// Why the mail was not accepted.
    pub mail_error: Option<String>,
    /// The link, if no mail carries it. For one use.
    pub link: Option<String>,
}

/// An invitation that was taken back.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct InviteRevoked {
    /// Id of the invitation.
    pub id: String,
    /// For whom it was.
    pub email: String,
}

/// Accepts an invitation. With credentials of an account: nothing else is needed. Without: makes one.
#[derive(Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AcceptInvite {
    /// The user name to have, thereby the name of an own namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "alice")]
    pub username: Option<String>,
    /// The password to have: 12 to 1024 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(write_only)]
    pub password: Option<String>,
    /// A name: an API key of the account is wanted as well, called this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub api_key_name: Option<String>,
}

/// What accepting gave. Token and key are in this one answer.
#[derive(Clone, Serialize, Deserialize, ToSchema)]
pub struct Joined {
    /// User name of the account.
    pub username: String,
    /// Whether the account was made now.
    pub created: bool,
    /// The namespace that was joined.
    pub namespace: String,
    /// The role there.
    pub role: String,
    /// The workspace the token is for.
    pub workspace: Option<String>,
    /// A token of their own for it, with client configurations.
    pub token: Option<TokenCreated>,
    /// The API key, if one was wanted.
    pub api_key: Option<String>,
}

/// Changes a member.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct UpdateMember {
    /// The role from now on; not above your own.
    #[schema(example = "admin")]
    pub role: String,
}

/// A workspace that somebody who left could reach.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Reached {
    /// The workspace.
    pub workspace: String,
    /// Servers installed in it.
    pub servers: Vec<String>,
}

/// A secret that calls of somebody who left used as it is now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ToRotate {
    /// The server it belongs to.
    pub server: String,
    /// Name of the secret.
    pub secret: String,
    /// The only workspace that uses it; `null`: all with the server.
    pub workspace: Option<String>,
    /// Their calls to that server.
    pub calls: u64,
    /// The last of them.
    pub last_call_at: DateTime<Utc>,
}

/// What somebody who left could reach, and what to do about it.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct LeavingReceipt {
    /// Who left.
    pub member: String,
    /// Their user name (the account itself lives on); `null` if they had not accepted yet.
    pub username: Option<String>,
    /// The role they had.
    pub role: String,
    /// Whose team they left.
    pub namespace: String,
    /// When.
    pub left_at: DateTime<Utc>,
    /// Tokens that were revoked: `workspace/name`.
    pub tokens_revoked: Vec<String>,
    /// API keys that were revoked.
    pub keys_revoked: u64,
    /// Sessions that were ended.
    pub sessions_ended: u64,
    /// Invitations that were taken back.
    pub invites_revoked: u64,
    /// What they could reach.
    pub could_reach: Vec<Reached>,
    /// Secrets that their calls used and that were not changed since. Names only; set each again.
    pub rotate: Vec<ToRotate>,
    /// Active tokens that they issued for others and whose values they saw: `workspace/name`.
    pub tokens_seen: Vec<String>,
    /// What could not be done or found out, and what to do about it.
    #[serde(default)]
    pub untold: Vec<String>,
}

/// Signs in.
#[derive(Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SignIn {
    /// User name or e-mail address.
    pub username: String,
    /// The password.
    #[schema(write_only)]
    pub password: String,
}

/// A session that was begun; its cookie is in the answer's head.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct SignedIn {
    /// Id of the session.
    pub session: String,
    /// User name of the account.
    pub username: String,
    /// What changes with this session's cookie bring as `X-CSRF-Token`.
    pub csrf_token: String,
    /// Its end, however much it is used.
    pub expires_at: DateTime<Utc>,
}

/// A session on the pages.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Session {
    /// Id of the session.
    pub id: String,
    /// What the browser called itself.
    pub client: String,
    /// From where it was begun.
    pub address: String,
    /// Since when.
    pub created_at: DateTime<Utc>,
    /// When it was last used.
    pub last_used_at: DateTime<Utc>,
    /// Its end, however much it is used.
    pub expires_at: DateTime<Utc>,
    /// Whether it is the one that asks.
    pub current: bool,
}

/// Something that is over.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Ended {
    /// How many sessions were ended.
    pub sessions_ended: u64,
}

/// Renames the own account, and its namespace with it.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RenameAccount {
    /// The name from now on: lower-case letters, digits and hyphens.
    #[schema(example = "acme")]
    pub name: String,
}

/// A namespace's name.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct NamespaceName {
    /// The user name of its account.
    pub namespace: String,
}

/// Changes the own password.
#[derive(Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ChangePassword {
    /// The password until now; left out if there is none yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(write_only)]
    pub current: Option<String>,
    /// The next one: 12 to 1024 characters.
    #[schema(write_only)]
    pub new: String,
}

/// Begins a login that somebody confirms in a browser.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct BeginLogin {
    /// What asks, for people: the name of the machine.
    pub client: String,
}

/// A login that waits for a browser.
#[derive(Clone, Serialize, Deserialize, ToSchema)]
pub struct LoginBegun {
    /// What to ask with; for whoever began, and nobody else.
    pub device_code: String,
    /// What the person compares.
    #[schema(example = "BCDF-GHJK")]
    pub user_code: String,
    /// The page to confirm it on.
    pub verification_url: String,
    /// The same page with the code filled in.
    pub verification_url_complete: String,
    /// Seconds until it is too late.
    pub expires_in_seconds: u64,
    /// Seconds to wait between two questions.
    pub interval_seconds: u64,
}

/// Asks whether a login was confirmed.
#[derive(Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PollLogin {
    /// The login's secret.
    #[schema(write_only)]
    pub device_code: String,
}

/// How far a login is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum LoginStatus {
    /// Nobody has answered yet: ask again.
    Waiting,
    /// Confirmed: here is the key.
    Confirmed,
}

/// Whether a login was confirmed. The key is in this one answer.
#[derive(Clone, Serialize, Deserialize, ToSchema)]
pub struct LoginPolled {
    /// How far it is.
    pub status: LoginStatus,
    /// User name of whoever confirmed.
    pub username: Option<String>,
    /// The API key.
    pub api_key: Option<String>,
}

/// An account's API key without its value.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct ApiKey {
    /// Id of the key.
    pub id: String,
    /// What it is for.
    pub name: String,
    /// The last characters of the value.
    pub hint: String,
    /// The namespace it acts in unless another is asked for.
    pub namespace: String,
    /// Whether it acts in that namespace only.
    pub bound: bool,
    /// The most it may do; `null`: what its account may.
    pub role: Option<String>,
    /// `active`, `revoked` or `expired`.
    pub status: super::dto::TokenStatus,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it stops by itself.
    pub expires_at: Option<DateTime<Utc>>,
    /// When it was last used.
    pub last_used_at: Option<DateTime<Utc>>,
    /// Whether it is the one that asks.
    pub current: bool,
}

/// Makes an API key of the own account.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateApiKey {
    /// What it is for.
    #[schema(example = "CI")]
    pub name: String,
    /// The most it may do; left out: what the account may.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<String>,
    /// Seconds until it stops by itself; left out: never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_in: Option<u64>,
    /// Whether it acts in the namespace that is acted in now, and in no other.
    #[serde(default)]
    pub bound: bool,
}

/// An API key that was made. The only answer that carries `key`.
#[derive(Clone, Serialize, Deserialize, ToSchema)]
pub struct ApiKeyCreated {
    /// The value, shown this once.
    pub key: String,
    /// What is known of it from now on.
    #[serde(flatten)]
    pub about: ApiKey,
}

/// An API key that was made on the gateway's machine. The only answer that carries `key`.
#[derive(Clone, Serialize, Deserialize, ToSchema)]
pub struct KeyReset {
    /// Whose it is.
    pub username: String,
    /// The value, shown this once.
    pub key: String,
    /// Other keys of the account that were revoked.
    pub revoked: u64,
}

impl std::fmt::Debug for KeyReset {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "KeyReset({})", self.username)
    }
}
