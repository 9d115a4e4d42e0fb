//! The projector and the queries over rooms that are made by hand.

mod auth_rules;
mod dag;
mod directory;
mod erasure;
mod extremities;
mod facts;
mod forks;
mod hostile;
mod membership;
mod received;
mod redactions;
mod rejudged;
mod replay;
mod resolution;
mod rig;
mod tries;
mod visibility;
