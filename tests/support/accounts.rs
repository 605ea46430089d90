//! More people than the owner of the first start: written into the database of a running gateway, as an invitation that
//! was accepted would.

use std::{path::Path, time::SystemTime};

use aerostack::domain::token::{self, Credential};
use entities::{account, api_key, member};
use sea_orm::{ColumnTrait as _, Database, DatabaseConnection, EntityTrait as _, QueryFilter as _, Set};
use secrecy::ExposeSecret as _;
use uuid::Uuid;

/// The accounts of a gateway on SQLite.
pub struct Accounts {
    url: String,
}

impl Accounts {
    pub fn in_folder(data_dir: &Path) -> Self {
        Accounts { url: format!("sqlite://{}?mode=rw", data_dir.join("aerostack.db").display()) }
    }

    fn run<T>(&self, work: impl AsyncFnOnce(&DatabaseConnection) -> T) -> T {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let db = Database::connect(&self.url).await.expect("the gateway's database");
            let done = work(&db).await;
            db.close().await.expect("closed");
            done
        })
    }

    /// Somebody with a namespace of their own.
    #[track_caller]
    pub fn make(&self, username: &str) {
        let id = Uuid::now_v7();
        self.run(async |db| {
            let row = account::ActiveModel {
                id: Set(id),
                username: Set(username.into()),
                email: Set(None),
                plan: Set("enterprise".into()),
                created_at: Set(SystemTime::now().into()),
            };
            account::Entity::insert(row).exec_without_returning(db).await.expect("a new account");
        });
        self.join(username, username, "owner");
    }

    /// Lets somebody into a namespace.
    #[track_caller]
    pub fn join(&self, namespace: &str, username: &str, role: &str) {
        self.run(async |db| {
            let row = member::ActiveModel {
                namespace_id: Set(id_of(db, namespace).await),
                account_id: Set(id_of(db, username).await),
                role: Set(role.into()),
                invited_by: Set(None),
                created_at: Set(SystemTime::now().into()),
            };
            member::Entity::insert(row).exec_without_returning(db).await.expect("a new member");
        });
    }

    /// A key of somebody's that acts in a namespace.
    #[track_caller]
    pub fn key(&self, username: &str, namespace: &str) -> String {
        let fresh = token::generate(Credential::Aak);
        self.run(async |db| {
            let row = api_key::ActiveModel {
                id: Set(Uuid::now_v7()),
                account_id: Set(id_of(db, username).await),
                namespace_id: Set(id_of(db, namespace).await),
                name: Set("test".into()),
                hash: Set(fresh.hash.0.to_vec()),
                hint: Set(fresh.hint.clone()),
                created_at: Set(SystemTime::now().into()),
                ..Default::default()
            };
            api_key::Entity::insert(row).exec_without_returning(db).await.expect("a new key");
        });
        fresh.raw.expose_secret().to_owned()
    }
}

async fn id_of(db: &DatabaseConnection, username: &str) -> Uuid {
    let found = account::Entity::find().filter(account::Column::Username.eq(username)).one(db).await;
    found.expect("a look").unwrap_or_else(|| panic!("no account {username}")).id
}
