//! Switches and aliases of tools. Written by the WorkspaceCatalog only. A tool without a row is on and has its plain
//! name; a row that says just that is deleted, unless it says when an alias was taken away.

use entities::tool_setting;
use sea_orm::{ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter, QueryOrder, Set, sea_query::OnConflict};

use crate::{
    domain::{
        clock::{self, Timestamp},
        ids::{InstallationId, WorkspaceId},
    },
    error::{Result, err},
    store::{Tx, column::stored, failure::on_conflict},
};

/// What was decided about a tool of an installation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ToolSetting {
    /// The installation.
    pub installation: InstallationId,
    /// Its workspace.
    pub workspace: WorkspaceId,
    /// The server's own name of the tool.
    pub tool: String,
    /// Whether it is offered.
    pub enabled: bool,
    /// The name clients see instead of the plain one.
    pub alias: Option<String>,
}

/// Writes a setting; `renamed`: its alias is another one than before, or none any more. Conflict when another tool of
/// the workspace has the alias.
pub async fn put(tx: &Tx, setting: &ToolSetting, renamed: bool) -> Result<()> {
    use tool_setting::Column;

    let now = stored(clock::now());
    let row = tool_setting::ActiveModel {
        installation_id: Set(setting.installation.0),
        tool: Set(setting.tool.clone()),
        workspace_id: Set(setting.workspace.0),
        enabled: Set(setting.enabled),
        alias: Set(setting.alias.clone()),
        updated_at: Set(now),
        renamed_at: Set(renamed.then_some(now)),
    };
    let columns =
        [Column::Enabled, Column::Alias, Column::UpdatedAt].into_iter().chain(renamed.then_some(Column::RenamedAt));
    let changed = OnConflict::columns([Column::InstallationId, Column::Tool]).update_columns(columns).to_owned();
    let written = tool_setting::Entity::insert(row).on_conflict(changed).exec_without_returning(tx.conn()).await;
    on_conflict(written.map(drop), || {
        err::conflict(format!("Another tool here is called \"{}\"", setting.alias.as_deref().unwrap_or_default()))
    })?;
    tool_setting::Entity::delete_by_id((setting.installation.0, setting.tool.clone()))
        .filter(Column::Enabled.eq(true))
        .filter(Column::Alias.is_null())
        .filter(Column::RenamedAt.is_null())
        .exec(tx.conn())
        .await?;
    Ok(())
}

/// Every setting there is (for the catalogue's first snapshot).
pub async fn all(db: &impl ConnectionTrait) -> Result<Vec<ToolSetting>> {
    let rows = tool_setting::Entity::find()
        .order_by_asc(tool_setting::Column::InstallationId)
        .order_by_asc(tool_setting::Column::Tool)
        .all(db)
        .await?;
    Ok(rows.into_iter().map(setting).collect())
}

/// The settings of an installation, by tool.
pub async fn of_installation(db: &impl ConnectionTrait, installation: InstallationId) -> Result<Vec<ToolSetting>> {
    let rows = tool_setting::Entity::find()
        .filter(tool_setting::Column::InstallationId.eq(installation.0))
        .order_by_asc(tool_setting::Column::Tool)
        .all(db)
        .await?;
    Ok(rows.into_iter().map(setting).collect())
}

/// The tools of a workspace whose alias changed since a moment, or was taken away.
pub async fn renamed_after(
    db: &impl ConnectionTrait,
    workspace: WorkspaceId,
    moment: Timestamp,
) -> Result<Vec<(InstallationId, String)>> {
    let rows = tool_setting::Entity::find()
        .filter(tool_setting::Column::WorkspaceId.eq(workspace.0))
        .filter(tool_setting::Column::RenamedAt.gt(stored(moment)))
        .all(db)
        .await?;
    Ok(rows.into_iter().map(|row| (InstallationId(row.installation_id), row.tool)).collect())
}

fn setting(row: tool_setting::Model) -> ToolSetting {
    ToolSetting {
        installation: InstallationId(row.installation_id),
        workspace: WorkspaceId(row.workspace_id),
        tool: row.tool,
        enabled: row.enabled,
        alias: row.alias,
    }
}
