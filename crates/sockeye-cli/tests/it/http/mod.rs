//! HTTP: `serve --http` with curl and python3, `send --http`, `bench --http`.

mod confinement;
mod files;
mod measuring;
mod requests;
mod sending;
mod site;
mod versions;

use site::Site;
