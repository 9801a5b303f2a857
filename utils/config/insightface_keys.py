"""Keys of InsightFace's arcface_torch and arcface_oneflow that are not ours, and which project's file states them."""

from collections.abc import Collection

_PARTS = "dataset.json says which parts there are"
_RANKS = "NPROC, NNODES, NODE_RANK and MASTER_ADDR say which ranks there are"
_MODE = "train_graph_distributed.sh or train_ddp.sh decides"
_ITS_OWN = "OneFlow's own value is used"
_ALL_RANKS = "figures are of all ranks together"
_DECAY = 'write lr_schedule = "multistep" and decay_epoch = (10, 16), in epochs'
_VAL_PATH = "write val_path, the folder of the .bin sets"

# Keys that change nothing here, and why.
IGNORED = {
    "ofrecord_part_num": _PARTS,
    "train_data_part_num": _PARTS,
    "part_name_prefix": _PARTS,
    "part_name_suffix_length": _PARTS,
    "shuffle": "every epoch is shuffled, unless sampler says otherwise",
    "dataset": "ofrecord_path says where the data are",
    "dali": "num_workers threads per rank decode, without DALI",
    "use_gpu_decode": "num_workers threads per rank decode",
    "num_nodes": _RANKS,
    "node_ips": _RANKS,
    "device_num_per_node": _RANKS,
    "nccl_fusion_threshold_mb": _ITS_OWN,
    "nccl_fusion_max_ops": _ITS_OWN,
    "is_global": _MODE,
    "is_graph": _MODE,
    "val_image_num": "each .bin file says its size",
    "scale_grad": "gradients are averaged over the global batch",
    "wandb_log_all": _ALL_RANKS,
    "notes": "the config goes to Weights & Biases",
}
# Other names for keys of ours, whose values mean the same.
RENAMED = {
    "use_synthetic_data": "synthetic",
    "train_num": "num_image",
    "learning_rate": "lr",
    "head": "loss",
    "val_frequence": "verbose",
    "log_frequent": "frequent",
}
# Keys that need a person: what to write instead.
_REPLACED = {
    "eval_ofrecord_path": _VAL_PATH,
    "val_dataset_dir": _VAL_PATH,
    "fc_type": "write model_parallel and sample_rate",
    "total_batch_size": "write batch_size, which counts the images of one rank",
    "lr_steps": _DECAY,
    "step": _DECAY,
    "lr_func": _DECAY,
    "warmup_step": "write warmup_epoch, which may be a fraction",
    "total_step": "write num_epoch",
    "model_load_dir": "write resume, which takes the path of a checkpoint",
    "channel_last": 'write data_format = "NHWC"',
    "network_kwargs": 'write options with the name, as network = "mobilenet_v2(width=0.5)", and dropout by itself',
}
# Keys that utils/config/insightface.py reads, and what to write instead of them on the command line.
_READ = {
    "rec": "convert the recordio with tools/mx_recordio_2_ofrecord.py and set ofrecord_path",
    "dali_aug": 'write augment, such as augment = {"low_resolution": 0.1, "blur": 0.2, "gray": 0.1}',
    "partial_fc": "write sample_rate, the share of class centers in each step (1.0: all of them)",
}
FOREIGN_KEYS = {
    **_READ,
    **{key: f"{reason}; remove it" for key, reason in IGNORED.items()},
    **{key: f"write {ours}" for key, ours in RENAMED.items()},
    **_REPLACED,
}
# Keys by which a file is known. The others stand in files of anybody's, or of ours, too.
_TORCH = frozenset({"rec", "dali", "dali_aug"})
_ONEFLOW = {"partial_fc", *IGNORED} - {*_TORCH, "notes", "shuffle", "num_nodes", "wandb_log_all"}


def foreign_advice(key: str) -> str | None:
    """What to write instead of a key that is InsightFace's and not ours; None if it is not."""
    return FOREIGN_KEYS.get(key)


def is_insightface(stated: Collection[str]) -> bool:
    """Whether a file that states these keys is InsightFace's. Some of theirs state none but keys of ours."""
    return not (_TORCH | _ONEFLOW).isdisjoint(stated)


def is_torch(stated: Collection[str]) -> bool:
    """Whether a file that states these keys is arcface_torch's."""
    return "ofrecord_path" not in stated and not _TORCH.isdisjoint(stated)
