"""Every key of a run, its default and its meaning. A run's own file states only what differs.

Names follow InsightFace's arcface_torch and arcface_oneflow wherever the meaning is the same. Lengths given in
epochs may be fractions; a "step" is one optimizer update of the global batch (batch_size x ranks x gradient_acc).
"""

from easydict import EasyDict as edict

config = edict()

# --- backbone ---
config.network = "r50"  # a name, or one with options; docs/networks.md, or python tools/list_backbones.py, lists them
config.embedding_size = 512  # length of an embedding
config.image_size = None  # pixels that the network takes, or (height, width), to which images are scaled; None: theirs
config.gray = False  # the network takes gray images, of one channel
config.dropout = 0.0  # before the last fully connected layer, probability in [0, 1)
config.sync_batchnorm = False  # True: BatchNorm's statistics are of all ranks' images | False: of each rank's own
config.activation_checkpointing = None  # "blocks" | "stages": computed again in the backward pass, to save memory

config.pretrained = None  # weights to start from: a .safetensors file, or the folder of a run or checkpoint
config.freeze_backbone = 0  # steps in which only the head is trained, before the whole network is
config.frozen = ()  # patterns of parameters that do not train, such as ("backbone.conv1.*",)

# --- head and loss ---
config.loss = None  # None: margin_list | "arcface", "cosface": short for one | a sum of losses/, as "adaface(m=0.4)"
config.margin_list = (1.0, 0.5, 0.0)  # (m1, m2, m3): the target's logit is s * (cos(m1 * theta + m2) - m3)
config.logit_scale = 64.0  # s, of every loss that does not state its own
config.margin_gradient = "exact"  # the papers' margin and derivative | "straight_through": arcface_torch's, exactly
config.teacher = None  # of "distillation" in a loss: a .npy file of tools/embed.py, an .onnx file, or a run's folder
config.label_smoothing = 0.0  # this share of each label is spread over all classes of the step, [0, 1)
config.centers_per_class = 1  # more: sub-centers, of which the nearest to an image counts; 3 is usual
config.interclass_filtering_threshold = 0.0  # non-target cosines above it become 0; 0: off, 0.4 is usual
config.sample_rate = 1.0  # share of the class centers in each step, (0, 1]; below 1: Partial FC
config.head_store = "device"  # where class centers live: "device" | "host" memory | "mmap", files all ranks share
config.head_store_path = None  # folder of those files, on a fast disk of this machine; None: output/head_store
config.head_dtype = "float32"  # of stored class centers: "float32" | "float16" (half the memory, stochastic rounding)
config.correct_skipped = False  # True: sampled centers first catch up with the momentum and decay of skipped steps
config.model_parallel = True  # True: class centers are split over the ranks | False: every rank holds all

config.pretrained_head = None  # class centers to start from: a checkpoint's folder, of the same identities

# --- data ---
config.ofrecord_path = None  # folder with part-00000 ... and dataset.json, made by tools/mx_recordio_2_ofrecord.py
config.synthetic = False  # True: random images and labels in memory (for speed); needs num_classes and num_image
config.num_classes = None  # None: read from the dataset; a number that disagrees with it is refused
config.num_image = None  # None: read from the dataset; a number that disagrees with it is refused
config.sampler = "shuffle"  # every image once per epoch | balanced class_balanced weighted, as "balanced(images=4)"
config.random_flip = True  # mirror half of the images
config.augment = {}  # probability of each operation, such as {"crop_pad": 0.2, "low_resolution": 0.2, "color": 0.2}
config.verify_data = "headers"  # of the parts, at the start: "off" | "headers" some of each | "full" every byte
config.num_workers = 2  # decoding threads per rank
config.prefetch = 4  # batches kept ready per rank

# --- optimizer and schedule ---
config.batch_size = 128  # images per rank and micro-batch
config.gradient_acc = 1  # micro-batches of one step, over which gradients are averaged
config.optimizer = "sgd"  # sgd sgdw adam adamw lamb (optim/), with parameters if need be: "adamw(beta2=0.95)"
config.head_optimizer = None  # of the class centers; None: optimizer. Not lamb
config.lr = 0.1  # peak learning rate
config.lr_multipliers = {}  # factors of lr by patterns of names, such as {"backbone.*": 0.1}; the first counts
config.momentum = 0.9  # of sgd and sgdw, [0, 1)
config.weight_decay = 5e-4  # of an optimizer that does not state its own
config.head_weight_decay = None  # that of the class centers; None: the same
config.decay_norms_and_biases = True  # False: no weight decay on the weights of norms, slopes of PReLU and biases
config.clip_grad_norm = 5.0  # largest L2 norm of the backbone's whole gradient; 0: off
config.num_epoch = 20  # passes over the dataset, a whole number
config.warmup_epoch = 0  # linear warm-up: lr * t / w
config.lr_schedule = "polynomial"  # polynomial multistep exponential cosine constant, as "cosine(lr_min=1e-5)"
config.lr_power = 2.0  # polynomial only: (1 - (t - w) / (T - w)) ** lr_power
config.decay_epoch = ()  # multistep only: epochs after which the rate is multiplied by decay_rate
config.decay_rate = 0.1  # multistep only
config.phases = ()  # stretches that differ, such as [{"num_epoch": 1, "frozen": ("backbone.*",)}, {"lr": 0.01}]

# --- where and how ---
config.device = "auto"  # "auto" (CUDA where this OneFlow has kernels for the card, else CPU) | "cuda" | "cpu"
config.graph = True  # True: compiled nn.Graph step | False: eager step; train.py --graph / --eager say the same
config.data_format = "NCHW"  # "NHWC": quicker with fp16 on cards that have tensor cores (CUDA only)
config.fp16 = False  # automatic mixed precision with a gradient scaler (CUDA only)
config.cpu_kernels = True  # kernels of native/ on a CPU, several times quicker; False: OneFlow as it is
config.fused_ops = "auto"  # the compiler may fuse operators: "auto" (it may) | True | False
config.seed = 2048  # all randomness comes from it

# --- verification ---
config.val_targets = ()  # names of .bin sets, e.g. ("lfw", "cfp_fp", "agedb_30")
config.val_path = None  # folder of the .bin sets; None: ofrecord_path
config.val_batch_size = 64  # images per rank in an embedding pass
config.verbose = 2000  # steps between verifications; 0: only at the end

# --- what a run writes ---
config.output = None  # folder of the run; None: work_dirs/<name of the config file>
config.frequent = 10  # steps between progress lines
config.tensorboard = True  # write TensorBoard events into output/tensorboard
config.using_wandb = False  # report to Weights & Biases, too (./setup.sh trackers); WANDB_MODE=offline: to files
config.wandb_key = None  # of the account; None: as `wandb login` has stored it. No file of a run shows it
config.wandb_entity = None  # the account's or team's name there; None: the account's own
config.wandb_project = None  # the project there; None: "uncategorized"
config.wandb_resume = False  # True: a resumed run goes on with its run there | False: it is a new one
config.suffix_run_name = None  # of the run's name there, which is that of the output's folder
config.using_mlflow = False  # report to MLflow, too (./setup.sh trackers)
config.mlflow_tracking_uri = None  # of a server or a database; None: output/mlflow.db
config.mlflow_experiment = "face recognition"  # the experiment there
config.save_artifacts = False  # True: the best model goes to W&B and MLflow at the end
config.save_interval = 0  # steps between checkpoints, besides each epoch's end and best accuracy; 0: no others
config.save_all_states = True  # checkpoints hold all a run is (resumable) | False: only the backbone's weights
config.keep_checkpoints = 2  # how many of the newest checkpoints stay
config.resume_on_other_data = False  # True: a checkpoint may go on with another dataset of the same size
config.resume = False  # True: go on from the newest checkpoint of output | a path: from that one
