"""The PyTorch side of bench_loader, run by a Python that has torch and OpenCV: RECORDIO BATCH EPOCHS.

A Dataset over recordio as arcface_torch's: seek, read, decode, mirror, tensor, normalize; read by a DataLoader in this
process. Prints CPU seconds an image of each epoch, as JSON.
"""

import json
import random
import struct
import sys
import time

import cv2
import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset


class Faces(Dataset):
    def __init__(self, folder: str) -> None:
        self.file = open(f"{folder}/train.rec", "rb")  # noqa: SIM115 (for the whole run)
        with open(f"{folder}/train.idx") as lines:
            places = dict(map(int, line.split()) for line in lines)
        self.places = [place for key, place in places.items() if key and self._record(place)[2]]

    def _record(self, place: int) -> tuple[int, float, bytes]:
        self.file.seek(place)
        _, length = struct.unpack("<II", self.file.read(8))
        record = self.file.read(length & ((1 << 29) - 1))
        flag, label = struct.unpack_from("<If", record)
        return flag, label, record[24 + 4 * flag :]

    def __len__(self) -> int:
        return len(self.places)

    def __getitem__(self, number: int) -> tuple[torch.Tensor, torch.Tensor]:
        _, label, jpeg = self._record(self.places[number])
        image = cv2.cvtColor(cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)
        if random.random() < 0.5:
            image = np.ascontiguousarray(image[:, ::-1])
        pixels = torch.from_numpy(image).permute(2, 0, 1).float().div(255).sub(0.5).div(0.5)
        return pixels, torch.tensor(label, dtype=torch.long)


def main(folder: str, batch: int, epochs: int) -> None:
    torch.set_num_threads(1)
    cv2.setNumThreads(0)
    loader, taken = DataLoader(Faces(folder), batch, shuffle=True, drop_last=True), []
    for _ in range(epochs):
        start = time.process_time()
        images = sum(len(labels) for _, labels in loader)
        taken.append((time.process_time() - start) / images)
    print(json.dumps(taken))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
