//! What every verb works with.

use std::io::{IsTerminal as _, Write as _};
use std::sync::Arc;

use milepost::{Env, Error, ErrorKind, OpContext, Result, Settings, StoreAdmin, StoreUrl};

use crate::config::Config;
use crate::out::{Out, Stderr};
use crate::render::table::Style;

/// One run of the command.
#[derive(Debug)]
pub(crate) struct App {
    /// stdout.
    pub(crate) out: Out,
    /// stderr.
    pub(crate) err: Stderr,
    /// How tables look.
    pub(crate) style: Style,
    /// Is JSON wanted?
    pub(crate) json: bool,
    /// Are progress and summaries unwanted?
    pub(crate) quiet: bool,
    /// Is the terminal there to ask, and to draw a bar on?
    pub(crate) interactive: Interactive,
    /// Cancelled by signals.
    pub(crate) cx: OpContext,
    /// Settings.
    pub(crate) config: Config,
    /// Clock and randomness.
    pub(crate) env: Env,
    /// A store that is open already.
    pub(crate) opened: Option<Arc<dyn StoreAdmin>>,
}

/// Which streams are a terminal.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Interactive {
    pub(crate) stdin: bool,
    pub(crate) stderr: bool,
}

impl Interactive {
    pub(crate) fn detect() -> Self {
        Self { stdin: std::io::stdin().is_terminal(), stderr: std::io::stderr().is_terminal() }
    }
}

impl App {
    /// The store that the settings name.
    ///
    /// # Errors
    /// InvalidInput where none is named; those of opening it.
    pub(crate) fn store(&self) -> Result<Arc<dyn StoreAdmin>> {
        if let Some(store) = &self.opened {
            return Ok(store.clone());
        }
        let Some((url, _)) = &self.config.store else {
            return Err(Error::invalid_input("no store is given")
                .with_hint("give --store URL, MILEPOST_STORE, or `store` in the file of --config"));
        };
        self.open(url)
    }

    /// The same for a verb that makes no backup: a folder that is not there is a mistyped path, not an empty store, and is
    /// not made.
    ///
    /// # Errors
    /// NotFound for a folder that is not there; those of [`App::store`].
    pub(crate) fn existing_store(&self) -> Result<Arc<dyn StoreAdmin>> {
        if let (None, Some((url, _))) = (&self.opened, &self.config.store)
            && let StoreUrl::Directory(root) = url.parse()?
            && matches!(std::fs::symlink_metadata(&root), Err(error) if error.kind() == std::io::ErrorKind::NotFound)
        {
            return Err(Error::new(ErrorKind::NotFound, format!("there is no store at {}", root.display()))
                .with_hint("check the path; `milepost init`, or the first save, makes a store"));
        }
        self.store()
    }

    /// Opens a store with this run's settings.
    ///
    /// # Errors
    /// Those of opening it.
    pub(crate) fn open(&self, url: &str) -> Result<Arc<dyn StoreAdmin>> {
        let mut settings = Settings::from(self.config.settings.clone());
        settings.s3 = self.config.s3.clone();
        milepost::open_with(&self.config.store_url(url)?, settings, self.env.clone())
    }

    /// The cluster that the settings name, if they do.
    pub(crate) fn cluster(&self) -> Option<&milepost::ClusterId> {
        self.config.settings.cluster_id.as_ref()
    }

    /// Asks before something that cannot be undone.
    ///
    /// # Errors
    /// Refused where the answer is no, or nobody can be asked.
    pub(crate) async fn confirm(&self, question: &str) -> Result<()> {
        if self.json || !self.interactive.stdin || !self.interactive.stderr {
            return Err(Error::refused("needs to be confirmed, and there is no terminal to ask on")
                .with_hint("add --yes; nothing was changed"));
        }
        self.err.text(&format!("{} [y/N] ", crate::out::clean(question)));
        let answer = tokio::task::spawn_blocking(|| {
            let _ = std::io::stderr().flush();
            let mut answer = String::new();
            std::io::stdin().read_line(&mut answer).map(|_| answer)
        });
        let answer = self.cx.run(async { Ok(answer.await) }).await?;
        match answer {
            Ok(Ok(answer)) if matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes") => Ok(()),
            _ => Err(Error::refused("not confirmed; nothing was changed")),
        }
    }
}
