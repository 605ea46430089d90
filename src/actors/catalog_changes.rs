//! What WorkspaceCatalog is asked to change.

use std::sync::Arc;

use actix::Message;

use crate::{
    actors::catalog_skills::SkillVersion,
    domain::{
        definition::{Fingerprint, PinMode},
        ids::{RevisionId, ServerId, WorkspaceId},
        role::Principal,
        server::ServerSpec,
        slug::Slug,
    },
    error::Result,
    store::{
        servers::{InstallationRecord, ServerRecord},
        workspaces::WorkspaceRecord,
    },
    upstream::lists::Offer,
};

/// Makes a workspace.
#[derive(Message)]
#[rtype(result = "Result<WorkspaceRecord>")]
pub struct CreateWorkspace {
    /// Its slug, unique in the installation.
    pub slug: Slug,
    /// Its display name.
    pub name: String,
    /// Who asks; the workspace becomes their namespace's.
    pub by: Principal,
}

/// Gives a workspace another name, or another place in the URL.
#[derive(Message)]
#[rtype(result = "Result<WorkspaceRecord>")]
pub struct RenameWorkspace {
    /// Which.
    pub workspace: WorkspaceId,
    /// Its slug from now on, unique in the installation. The old one is free.
    pub slug: Option<Slug>,
    /// Its display name from now on.
    pub name: Option<String>,
    /// Who asks.
    pub by: Principal,
}

/// Deletes a workspace with its tokens, installations and overrides.
#[derive(Message)]
#[rtype(result = "Result<()>")]
pub struct DeleteWorkspace {
    /// Which.
    pub workspace: WorkspaceId,
    /// Who asks.
    pub by: Principal,
}

/// Adds a server definition.
#[derive(Message)]
#[rtype(result = "Result<ServerRecord>")]
pub struct AddServer {
    /// Its slug, unique in the namespace.
    pub slug: Slug,
    /// Its display name.
    pub title: String,
    /// Where it is and how to talk to it.
    pub spec: ServerSpec,
    /// Who asks.
    pub by: Principal,
}

/// Gives a server definition another specification, a new revision, which all installations of it use from now on.
#[derive(Message)]
#[rtype(result = "Result<ServerRecord>")]
pub struct ChangeServer {
    /// Which.
    pub server: ServerId,
    /// The revision that this was made of, so that what somebody else has changed meanwhile is not undone; none: whatever
    /// there is.
    pub made_of: Option<RevisionId>,
    /// Its display name.
    pub title: String,
    /// Where it is and how to talk to it.
    pub spec: ServerSpec,
    /// Who asks.
    pub by: Principal,
}

/// Removes a server definition with its secrets and installations.
#[derive(Message)]
#[rtype(result = "Result<()>")]
pub struct RemoveServer {
    /// Which.
    pub server: ServerId,
    /// Who asks.
    pub by: Principal,
}

/// Installs a server in a workspace.
#[derive(Message)]
#[rtype(result = "Result<InstallationRecord>")]
pub struct Install {
    /// Where.
    pub workspace: WorkspaceId,
    /// What.
    pub server: ServerId,
    /// An own prefix; empty: names pass unchanged; none: derived from the slug.
    pub prefix: Option<String>,
    /// The version, if it is a skill.
    pub skill: Option<SkillVersion>,
    /// Who asks.
    pub by: Principal,
}

/// Takes a server out of a workspace.
#[derive(Message)]
#[rtype(result = "Result<()>")]
pub struct Uninstall {
    /// Where.
    pub workspace: WorkspaceId,
    /// What.
    pub server: ServerId,
    /// Who asks.
    pub by: Principal,
}

/// A server said what it offers.
#[derive(Message)]
#[rtype(result = "()")]
pub struct OfferDiscovered {
    /// Which server.
    pub server: ServerId,
    /// Asked with whose credentials: a workspace's override, or everybody's.
    pub scope: Option<WorkspaceId>,
    /// Its tools, prompts and resources.
    pub offer: Offer,
    /// The fingerprints of its tools, in their order.
    pub prints: Arc<[Fingerprint]>,
}

/// What a server changed is to be recorded, now that some time has passed.
#[derive(Message)]
#[rtype(result = "()")]
pub struct RecordPins(pub ServerId, pub Option<WorkspaceId>);

/// Changes an installation.
#[derive(Message)]
#[rtype(result = "Result<InstallationRecord>")]
pub struct UpdateInstallation {
    /// Where.
    pub workspace: WorkspaceId,
    /// What.
    pub server: ServerId,
    /// Whether anything of it is offered.
    pub enabled: Option<bool>,
    /// Another prefix.
    pub prefix: Option<String>,
    /// What happens to tools that are new or changed.
    pub pins: Option<PinMode>,
    /// Who asks.
    pub by: Principal,
}

/// Decides about tools of an installation.
#[derive(Message)]
#[rtype(result = "Result<()>")]
pub struct SetTools {
    /// Where.
    pub workspace: WorkspaceId,
    /// Whose tools.
    pub server: ServerId,
    /// The server's own names of them.
    pub tools: Vec<String>,
    /// Whether they are offered.
    pub enabled: Option<bool>,
    /// Another name for the one tool; `Some(None)`: its plain one.
    pub alias: Option<Option<String>>,
    /// Who asks.
    pub by: Principal,
}

/// Approves or rejects definitions that wait.
#[derive(Message)]
#[rtype(result = "Result<()>")]
pub struct DecidePins {
    /// Where.
    pub workspace: WorkspaceId,
    /// Whose tools.
    pub server: ServerId,
    /// The server's own names of them, with the definitions that were looked at.
    pub tools: Vec<(String, Fingerprint)>,
    /// Approve, or reject.
    pub approve: bool,
    /// Who asks.
    pub by: Principal,
}
