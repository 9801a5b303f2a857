"""Class centers as the products of a step take them: of several centers of a class, the nearest to a row counts."""

import oneflow as flow


class Columns:
    """centers: of each class; width: numbers of each. `rows`, (slots, centers * width), has those of a class side by
    side, so that a split over classes never cuts one; (slots * centers, width) would be split elsewhere.
    """

    def __init__(self, centers: int, width: int) -> None:
        self.centers, self.width = centers, width

    def own(
        self, rows: flow.Tensor, labels: flow.Tensor, directions: flow.Tensor, rows_sbp: flow.sbp.sbp
    ) -> tuple[flow.Tensor, flow.Tensor, flow.Tensor | None]:
        """The centers of the rows' own classes, (B, width), their products with the rows, (B, 1), and if there are
        several of a class, which of them is the nearest, (B, centers) float32 of 0 and 1, else None.

        rows: S(0) or broadcast, labels: (B,) and directions: (B, width) of `rows_sbp`.
        """
        own = flow._C.gather(rows, labels, axis=0).to(flow.float32).to_global(sbp=rows_sbp)
        if self.centers == 1:
            return own, (directions * own).sum(dim=1, keepdim=True), None
        own = own.reshape(len(labels), self.centers, self.width)
        products = (directions.unsqueeze(1) * own).sum(dim=2)  # (B, centers)
        nearest = flow.eq(products, products.amax(dim=1, keepdim=True)).to(flow.float32)
        nearest = nearest / nearest.sum(dim=1, keepdim=True)  # equally near ones share
        return (own * nearest.unsqueeze(2)).sum(dim=1), (products * nearest).sum(dim=1, keepdim=True), nearest

    def parts(self, rows: flow.Tensor) -> list[flow.Tensor]:
        """The first center of each class, (slots, width), the second ... With several of them these are copies."""
        if self.centers == 1:
            return [rows]
        return [rows[:, k * self.width : (k + 1) * self.width] for k in range(self.centers)]

    def products(self, directions: flow.Tensor, parts: list[flow.Tensor]) -> tuple[flow.Tensor, flow.Tensor | None]:
        """(B, slots), of several centers that of the nearest; and the number of that, (B, slots) float32, or None."""
        best, *others = (flow.matmul(directions, part, transpose_b=True) for part in parts)
        if not others:
            return best, None
        best, others = (
            best.to(flow.float32),
            [product.to(flow.float32) for product in others],
        )  # a card compares no halves
        number = best * 0.0
        for k, product in enumerate(others, start=1):
            number = number.masked_fill(product > best, float(k))
            best = flow.maximum(best, product)
        return best, number

    def pull(
        self, slopes: flow.Tensor, number: flow.Tensor | None, parts: list[flow.Tensor], weight: float
    ) -> flow.Tensor:
        """slopes by the products (B, slots) -> what they pull the rows by, times `weight`: (B, width) float32, a
        partial sum of each rank.

        Weighted before it crosses the ranks: a cast alone the compiler would move behind, and sum in float16.
        """
        pulls = zip(self._split(slopes, number), parts, strict=True)
        return sum(flow.matmul(slopes_k, part).to(flow.float32) * weight for slopes_k, part in pulls)

    def gradient(
        self,
        slopes: flow.Tensor,
        number: flow.Tensor | None,
        is_target: flow.Tensor,
        target_slopes: flow.Tensor,
        nearest: flow.Tensor | None,
        directions: flow.Tensor,
    ) -> flow.Tensor:
        """By `rows`, of a batch split over the ranks: slopes (B, slots) and target_slopes (B, 1), for the targets'
        places, S(0) -> (slots, centers * width), a partial sum.
        """
        if number is None or nearest is None:
            return flow.matmul(flow.where(is_target, target_slopes, slopes), directions, transpose_a=True)
        parts = []
        for k, slopes_k in enumerate(self._split(slopes, number)):
            own = target_slopes * nearest[:, k : k + 1].to(target_slopes.dtype)
            parts.append(flow.matmul(flow.where(is_target, own, slopes_k), directions, transpose_a=True))
        return flow.cat(parts, dim=1)

    def _split(self, slopes: flow.Tensor, number: flow.Tensor | None) -> list[flow.Tensor]:
        """A slope by a class is one by its nearest center."""
        if number is None:
            return [slopes]
        return [slopes.masked_fill(flow.ne(number, float(k)), 0.0) for k in range(self.centers)]
