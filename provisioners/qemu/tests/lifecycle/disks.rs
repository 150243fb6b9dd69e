//! The real `qemu-img`, which every computer that runs machines has.

use std::path::PathBuf;

use machine_qemu::DiskTool;

fn tool() -> DiskTool {
    DiskTool::new(PathBuf::from("qemu-img"))
}

#[tokio::test]
async fn overlays_and_empty_disks_are_made_whatever_their_folder_is_called() {
    let temp = tempfile::tempdir().unwrap();
    for name in ["plain", "a b", "a,b=c", "ü日本", "json:{x", "nbd:host", "'\"$x"] {
        let folder = temp.path().join(name);
        std::fs::create_dir(&folder).unwrap();
        let (base, overlay, data) = (folder.join("b,a:s e.qcow2"), folder.join("os.qcow2"), folder.join("data.qcow2"));
        tool().create_empty(&base, 64).await.unwrap();
        let before = std::fs::read(&base).unwrap();
        tool().create_overlay(&base, "qcow2", &overlay).await.unwrap();
        let info = tool().info(&overlay).await.unwrap();
        assert_eq!((info.format.as_str(), info.virtual_size), ("qcow2", 64 << 20), "{name}");
        assert_eq!(info.backing_filename, Some(base.clone()), "{name}");
        assert_eq!(std::fs::read(&base).unwrap(), before, "{name}: the base is never written");

        tool().create_empty(&data, 2048).await.unwrap();
        tool().grow(&data, 4096).await.unwrap();
        tool().grow(&data, 1024).await.unwrap();
        let info = tool().info(&data).await.unwrap();
        assert_eq!(info.virtual_size, 4096 << 20, "{name}: it grows and never shrinks");
        assert!(info.actual_size < 1 << 20, "{name}: it takes space only as it fills");
    }
}

#[tokio::test]
async fn what_qemu_img_refuses_is_said_with_the_disk_and_the_reason() {
    let temp = tempfile::tempdir().unwrap();
    let missing = temp.path().join("missing.qcow2");
    let error = tool().create_overlay(&missing, "qcow2", &temp.path().join("os.qcow2")).await.unwrap_err();
    let text = error.to_string();
    assert!(
        text.contains("cannot make the disk") && text.contains("os.qcow2") && text.contains("No such file"),
        "{text}"
    );
    assert!(tool().info(&missing).await.is_err());

    let absent = DiskTool::new(temp.path().join("qemu-img"));
    let error = absent.create_empty(&missing, 1).await.unwrap_err();
    assert!(error.hints().iter().any(|hint| hint.contains("qemu-utils")), "{error:?}");
}
