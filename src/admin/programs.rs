//! MCP servers that are programs on the gateway's machine. What runs there is said by files on that machine; this API
//! reads them again when asked, and defines programs itself only as far as the operator allows it (S-27).

use actix_web::{HttpResponse, web};

use crate::{
    actors::Actors,
    admin::{
        Admin,
        auth::{Caller, require_installation},
        dto::{AddServer, Reloaded},
        openapi::Problems,
        reply::Reply,
        request::{Nothing, Query},
        servers,
    },
    domain::{
        program::{self, Program},
        role::Principal,
        server::{ProtocolChoice, ServerSpec},
    },
    error::{Error, Result, err},
    store::servers::ServerRecord,
    upstream::stdio::folder,
};

/// A program that was defined through the API, if that is allowed: a listed command by its full path, and no variable
/// that would make something else of it.
pub fn spec_of(actors: &Actors, command: &str, input: &AddServer) -> Result<ServerSpec> {
    let stdio = &actors.config.stdio;
    if !stdio.allow_api {
        return Err(err::forbidden("Programs are not defined through this API")
            .with_hint(format!("on the gateway's machine: aerostack mcp add {} -- COMMAND", input.slug)));
    }
    if input.url.is_some() || input.allow_http {
        return Err(err::validation("A server has a URL or a command, not both"));
    }
    if !stdio.allow_commands.iter().any(|allowed| allowed == command) {
        return Err(err::validation("This command is not among those that the operator allows")
            .with_hint("the full path of a command listed in stdio.allow_commands"));
    }
    if let Some(name) = input.env.keys().find(|name| program::is_steering(name)) {
        let name: String = name.chars().take(64).flat_map(char::escape_default).collect();
        return Err(err::validation(format!("The variable {name} would steer what the program does")));
    }
    let program = Program {
        command: command.to_owned(),
        args: input.args.clone(),
        env: input.env.clone(),
        isolation: input.isolation,
        ..Program::default()
    };
    let spec = servers::with_settings(ServerSpec::for_program(program)?, input)?;
    match spec.protocol {
        ProtocolChoice::Sse => Err(err::validation("A program speaks auto, modern or legacy, not sse")),
        _ => Ok(spec),
    }
}

/// Deletes the file that defines a server, if there is one: without it the server is not started any more.
pub async fn delete_file(actors: &Actors, server: &ServerRecord) -> Result<()> {
    if !server.spec.program().is_some_and(|program| program.from_file) {
        return Ok(());
    }
    let file = folder::file_of(&actors.upstreams.host().data_dir, &server.slug);
    let deleted = web::block(move || std::fs::remove_file(file)).await;
    match deleted.map_err(|cause| Error::internal("deleting the file of a server", cause))? {
        Err(cause) if cause.kind() != std::io::ErrorKind::NotFound => {
            let left = Error::internal("deleting the file of a server that was removed", cause);
            Err(left.with_hint(format!("delete servers.d/{}.toml, or it is back with the next start", server.slug)))
        }
        _ => Ok(()),
    }
}

/// Reads the files in `servers.d` again.
pub async fn reload(actors: &Actors, by: &Principal) -> Result<Reloaded> {
    require_installation(actors, by, "read its files again")?;
    let done = actors.reload_programs().await?;
    Ok(Reloaded {
        folder: folder::path(&actors.upstreams.host().data_dir).display().to_string(),
        added: done.added,
        changed: done.changed,
        removed: done.removed,
        problems: done.problems,
    })
}

/// Read the files in servers.d again
#[utoipa::path(post, path = "/api/v1/admin/mcp-servers:reload", tag = "mcp-servers",
    responses((status = 200, description = "What changed", body = Reloaded), Problems))]
pub async fn reload_route(admin: web::Data<Admin>, by: Caller, _: Query<Nothing>) -> Reply {
    Ok(HttpResponse::Ok().json(reload(&admin.actors, &by.0).await?))
}
