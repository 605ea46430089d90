//! The command line against a running gateway, as a person and as a script use it: the documents' own commands.

mod analytics;
mod connect;
mod conventions;
mod doctor;
mod documents;
mod editing;
mod gateway;
mod logs;
mod manual;
mod policy;
mod programs;
mod scripts;
mod seeds;
mod skills;
mod support_file;
mod terminal;
mod transcripts;
