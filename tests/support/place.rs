//! What most tests begin with: a gateway with a workspace `eng`, servers in it, and a token.

use super::{Admin, Editor, TestGateway, Upstream, admin::Issued, process::Setup};

/// A gateway with a workspace `eng` and a token.
pub struct Place {
    pub gateway: TestGateway,
    pub admin: Admin,
    pub token: Issued,
    pub editor: Editor,
}

/// A gateway with these servers in its workspace.
#[track_caller]
pub fn place(servers: &[(&str, &Upstream)]) -> Place {
    place_with(TestGateway::setup(), servers)
}

/// As `place`, with settings.
#[track_caller]
pub fn place_with(setup: Setup, servers: &[(&str, &Upstream)]) -> Place {
    let gateway = setup.start();
    let admin = gateway.admin();
    admin.workspace("eng");
    for (slug, upstream) in servers {
        admin.add("eng", slug, upstream);
    }
    let token = admin.token("eng", "Alice Chen");
    let editor = gateway.editor("eng", &token.raw);
    Place { gateway, admin, token, editor }
}
