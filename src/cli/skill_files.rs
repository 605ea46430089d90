//! The files of a skill on this machine: `skill init` writes an example, `skill publish` reads them, `skill pull` gets
//! those of a published version.

use std::{
    fs,
    io::{ErrorKind, Read as _, Write as _},
    path::{Path, PathBuf},
};

use clap::Args;
use serde_json::{json, value::RawValue};

use super::{
    failure::{Failure, Outcome},
    output::Terminal,
    session::Session,
    skill,
};
use crate::{
    admin::dto::{PublishSkill, Published, SkillPackage},
    domain::{
        skill::Visibility,
        skill_manifest::{Instead, Manifest},
        slug,
    },
};

/// What a skill consists of.
const MANIFEST: &str = "aerostack.json";
const DOCUMENT: &str = "SKILL.md";
/// Files larger than this are certainly something else, bytes.
const LARGEST: u64 = 16 * 1024 * 1024;

/// What `skill init` takes.
#[derive(Debug, Args)]
pub struct InitArgs {
    /// The skill's name [default: the folder's]
    name: Option<String>,
    /// Who answers its calls [default: the document itself]
    #[arg(long, value_name = "URL")]
    worker_url: Option<String>,
}

/// What `skill publish` takes.
#[derive(Debug, Args)]
pub struct PublishArgs {
    /// Another name than the manifest's
    #[arg(long)]
    name: Option<String>,
    /// Not for everybody: `team` for members, without a value only for yourself
    #[arg(long, value_name = "WHO", num_args = 0..=1, default_missing_value = "private", value_parser = ["team", "private"])]
    private: Option<String>,
    /// Who may see and install it [default: as before; a new skill: public]
    #[arg(long, value_enum)]
    visibility: Option<Visibility>,
    /// Another worker than the manifest's
    #[arg(long, value_name = "URL")]
    worker_url: Option<String>,
}

/// What `skill pull` takes.
#[derive(Debug, Args)]
pub struct PullArgs {
    /// Skill, with or without a version
    #[arg(value_name = "@NAMESPACE/NAME")]
    skill: String,
    /// The folder [default: the skill's name]
    #[arg(long, value_name = "FOLDER")]
    into: Option<PathBuf>,
}

impl PublishArgs {
    /// `--private` and `--visibility` say the same thing in two ways.
    fn visibility(&self) -> Outcome<Option<Visibility>> {
        let private: Option<Visibility> = self.private.as_deref().and_then(|text| text.parse().ok());
        match (private, self.visibility) {
            (Some(one), Some(other)) if one != other => {
                Err(Failure::usage(format!("--private means {}, --visibility says {}", one.as_str(), other.as_str())))
            }
            (one, other) => Ok(one.or(other)),
        }
    }
}

/// Writes the two files, unless there are any.
pub fn init(terminal: &mut Terminal, args: InitArgs) -> Outcome {
    let folder = std::env::current_dir()?;
    let own = folder.file_name().map(|name| name.to_string_lossy().to_lowercase().replace(['_', ' '], "-"));
    let name = args.name.or(own.filter(|name| slug::has_shape(name))).unwrap_or_else(|| "my-skill".to_owned());
    let mut manifest = json!({
        "name": name, "type": "skill", "version": "1.0.0",
        "description": "Says what it is for, in one sentence.",
        "category": "other", "tags": [],
        "tool": {
            "name": "run", "description": "Says to a model what the tool does and when to use it.",
            "input_schema": { "type": "object", "properties": { "topic": { "type": "string" } } }
        }
    });
    if let (Some(members), Some(url)) = (manifest.as_object_mut(), args.worker_url) {
        members.insert("worker_url".into(), url.into());
        members.insert("secrets".into(), json!([]));
    }
    let manifest = pretty(&manifest)?;
    Manifest::read(&manifest, &Instead::default())?;
    let document = format!(
        "---\nname: {name}\ndescription: Says what it is for, in one sentence.\n---\n\n# {name}\n\nSays what to do about {{{{topic}}}}.\n"
    );
    write_new(Path::new("."), &[(MANIFEST, &manifest), (DOCUMENT, &document)])?;
    terminal.done(&format!("Wrote {MANIFEST} and {DOCUMENT}."), &json!({ "name": name }), &name)?;
    terminal.hint("change them, then: aerostack skill publish");
    Ok(())
}

fn pretty(value: &serde_json::Value) -> Outcome<String> {
    let text = serde_json::to_string_pretty(value);
    Ok(text.map_err(|error| Failure::local(format!("cannot write JSON: {error}")))? + "\n")
}

/// Writes all of the files or, if one is there already, none.
fn write_new(folder: &Path, files: &[(&str, &str)]) -> Outcome {
    for (name, _) in files {
        let path = folder.join(name);
        if path.exists() {
            return Err(
                Failure::conflict(format!("{} is there already", path.display())).with_hint("nothing was written")
            );
        }
    }
    for (name, text) in files {
        let path = folder.join(name);
        let cannot = |error: std::io::Error| Failure::local(format!("cannot write {}: {error}", path.display()));
        let mut file = fs::File::create_new(&path).map_err(cannot)?;
        file.write_all(text.as_bytes()).map_err(cannot)?;
    }
    Ok(())
}

fn read(name: &str) -> Outcome<String> {
    let cannot = |error: std::io::Error| match error.kind() {
        ErrorKind::NotFound => Failure::local(format!("There is no {name} in this folder"))
            .with_hint("an example of both files: aerostack skill init"),
        _ => Failure::local(format!("cannot read {name}: {error}")),
    };
    let mut text = String::new();
    fs::File::open(name).map_err(cannot)?.take(LARGEST).read_to_string(&mut text).map_err(cannot)?;
    Ok(text)
}

/// Publishes what is in the current folder.
pub async fn publish(session: &mut Session, terminal: &mut Terminal, args: PublishArgs) -> Outcome {
    let visibility = args.visibility()?;
    let (manifest, document) = (read(MANIFEST)?, read(DOCUMENT)?);
    // Wrong files are named before anything is asked of anybody.
    let instead = Instead { name: args.name.as_deref(), worker_url: args.worker_url.as_deref() };
    Manifest::read(&manifest, &instead).map_err(|error| {
        let failure = Failure::local(error.message());
        match error.hint() {
            Some(hint) => failure.with_hint(hint),
            None => failure,
        }
    })?;
    let manifest = RawValue::from_string(manifest).map_err(|_odd| Failure::local(format!("{MANIFEST} is not JSON")))?;
    let body = PublishSkill { manifest, document, name: args.name, worker_url: args.worker_url, visibility };
    let done: Published = session.client()?.post(&["skills"], vec![], &body).await?;
    let (skill, version, who) = (&done.skill, &done.version, done.visibility.as_str());
    let sentence = match done.created {
        true => format!("Published {skill} {version} ({who})"),
        false => format!("{skill} {version} was published already ({who})"),
    };
    terminal.done(&sentence, &done, skill)?;
    terminal.hint(&format!("aerostack skill install {skill}"));
    Ok(())
}

/// Gets a published version's files.
pub async fn pull(session: &mut Session, terminal: &mut Terminal, args: PullArgs) -> Outcome {
    let (namespace, reference) = skill::named(session, &args.skill).await?;
    let version = reference.version.as_ref().map_or_else(|| "latest".to_owned(), ToString::to_string);
    let path = ["skills", &namespace, &reference.name, "versions", &version];
    let package: SkillPackage = session.client()?.get(&path, vec![]).await?;
    // The server's name of it never becomes a path: only what was typed, if it can be one.
    let folder = match args.into {
        Some(folder) => folder,
        None if slug::has_shape(&reference.name) => PathBuf::from(&reference.name),
        None => return Err(Failure::usage("Into which folder?").with_hint("name it: --into FOLDER")),
    };
    let manifest = pretty(&package.manifest)?;
    fs::create_dir_all(&folder)
        .map_err(|error| Failure::local(format!("cannot make {}: {error}", folder.display())))?;
    write_new(&folder, &[(MANIFEST, &manifest), (DOCUMENT, &package.document)])?;
    let sentence = format!("Pulled {} {} into {}", package.skill, package.version.version, folder.display());
    terminal.done(&sentence, &package, &package.skill)
}
