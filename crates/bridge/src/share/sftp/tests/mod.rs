mod client;
mod confinement;
mod noise;
mod semantics;
mod signs;
