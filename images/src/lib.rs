//! Bootable disk images: the catalog of vendors' images, the store on this computer, the recipe of our own, and the seed
//! that gives a machine its identity at boot.

mod cancel;
mod catalog;
mod checksum_file;
mod disk_header;
mod download;
mod image;
mod import;
mod incoming;
mod manifest;
mod nocloud;
mod part_file;
mod pull;
mod recipe;
mod reference;
mod seed;
mod sparse_copy;
mod store;
mod stored_image;
#[cfg(test)]
mod test_disk;
mod web_address;

pub use cancel::Cancel;
pub use catalog::{Catalog, CatalogEntry};
pub use checksum_file::Checksum;
pub use disk_header::{DiskFormat, DiskHeader, inspect as inspect_disk, parse as parse_disk_header};
pub use download::Patience;
pub use image::{Arch, Boot, Image, SeedKind};
pub use import::ImportOptions;
pub use nocloud::NoCloudSeed;
pub use recipe::{RECIPE, RecipeFile, RecipeOptions, report_recipe_line};
pub use reference::ImageReference;
pub use seed::{MachineSeed, SeedShare};
pub use store::{ImageRow, ImageStore, OWN_IMAGE};
pub use stored_image::{FileDigest, IMAGE_SCHEMA, StoredImage, check_name};
