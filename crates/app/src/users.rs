//! `user`: more accounts on a machine, each with keys of its own.

use std::path::{Path, PathBuf};

use machine_core::{Code, Error, MachineName, Reporter, Result, SshTarget};
use machine_engine::Account;
use machine_ssh::KeyPair;

use crate::app::App;
use crate::files;

/// An account that was made.
#[derive(Clone, Debug)]
pub struct UserAdded {
    /// The private key that was made for it, when none was given.
    pub made_key: Option<PathBuf>,
}

impl App {
    /// Makes an account on a running machine, which the given public keys let in; without any, a key is made here. Of one that
    /// is there, keys are added.
    ///
    /// # Errors
    /// A name that is none, a file that is no public key, or what the machine's own tools say.
    pub async fn add_user(
        &self,
        name: &MachineName,
        user: &str,
        keys: &[PathBuf],
        docker: bool,
        reporter: &Reporter,
    ) -> Result<UserAdded> {
        machine_engine::check_account_name(user)?;
        let mut lines = Vec::new();
        for path in keys {
            lines.extend(public_keys(path)?);
        }
        let _lock = self.lock(name, reporter).await?;
        let target = self.target_of_running(name).await?;
        let mut made_key = None;
        if lines.is_empty() {
            let folder = self.store.folder(name).join("users");
            machine_files::make_private_folder(&folder)?;
            let path = folder.join(user);
            let public = folder.join(format!("{user}.pub"));
            if !path.exists() || !public.exists() {
                KeyPair::generate(&format!("{user}@{name}"))?.save(&path)?;
            }
            lines = public_keys(&public)?;
            made_key = Some(path);
        }
        reporter.stage("user", format!("Making the account {user}"));
        let user = user.to_owned();
        machine_ssh::blocking(move || machine_engine::add_account(&target, &user, &lines, docker)).await?;
        Ok(UserAdded { made_key })
    }

    /// The accounts of people on a running machine.
    ///
    /// # Errors
    /// A machine that does not run or cannot be reached.
    pub async fn users(&self, name: &MachineName) -> Result<Vec<Account>> {
        let target = self.target_of_running(name).await?;
        machine_ssh::blocking(move || machine_engine::list_accounts(&target)).await
    }

    /// Removes an account of a running machine, with its home.
    ///
    /// # Errors
    /// The account that is logged in by, one of the system, one that there is not.
    pub async fn remove_user(&self, name: &MachineName, user: &str, reporter: &Reporter) -> Result<()> {
        machine_engine::check_account_name(user)?;
        let _lock = self.lock(name, reporter).await?;
        let target = self.target_of_running(name).await?;
        reporter.stage("user", format!("Removing the account {user}"));
        let owned = user.to_owned();
        machine_ssh::blocking(move || machine_engine::remove_account(&target, &owned)).await?;
        let folder = self.store.folder(name).join("users");
        for file in [folder.join(user), folder.join(format!("{user}.pub"))] {
            match std::fs::remove_file(&file) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    return Err(files::explain(error, "cannot remove", &file));
                }
                _ => {}
            }
        }
        Ok(())
    }

    async fn target_of_running(&self, name: &MachineName) -> Result<SshTarget> {
        self.running(name).await?;
        self.ssh_target(name)
    }
}

/// The keys in a file as `ssh-keygen` writes it, or in an `authorized_keys`.
fn public_keys(path: &Path) -> Result<Vec<String>> {
    let text = std::fs::read_to_string(path).map_err(|error| files::explain(error, "cannot read", path))?;
    let refuse = |why: &str| {
        Error::new(Code::Usage, format!("{} {why}", path.display()))
            .hint("--ssh-key takes a public key: the file with .pub at its end")
    };
    if text.contains("PRIVATE KEY") {
        return Err(refuse("is a private key, which must not leave this computer"));
    }
    let lines: Vec<&str> =
        text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')).collect();
    let is_key = |line: &&str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        words.iter().any(|word| word.starts_with("AAAA")) && !line.chars().any(char::is_control)
    };
    if lines.is_empty() || !lines.iter().all(is_key) {
        return Err(refuse("is not a public key"));
    }
    Ok(lines.into_iter().map(str::to_owned).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_public_keys_leave_this_computer() {
        let folder = tempfile::tempdir().unwrap();
        let pair = KeyPair::generate("ann").unwrap();
        pair.save(&folder.path().join("ann")).unwrap();
        assert_eq!(public_keys(&folder.path().join("ann.pub")).unwrap(), [pair.public_openssh]);
        let private = public_keys(&folder.path().join("ann")).unwrap_err();
        assert!(private.to_string().contains("private key"), "{private}");
        std::fs::write(folder.path().join("x"), "hello\n").unwrap();
        assert_eq!(public_keys(&folder.path().join("x")).unwrap_err().code(), Code::Usage);
        assert_eq!(public_keys(&folder.path().join("gone")).unwrap_err().code(), Code::NotFound);
    }
}
