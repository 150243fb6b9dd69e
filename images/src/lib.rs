//! Bootable disk images: the catalog of vendors' images, the store on this computer, the recipe of our own, and the seed
//! that gives a machine its identity at boot.

mod image;

pub use image::{Arch, Boot, Image, SeedKind};
