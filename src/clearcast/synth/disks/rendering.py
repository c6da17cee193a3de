"""Rendering of a part: image and defect mask.

Shading (normals, diffuse key light, ambient occlusion, heightfield shadows, anisotropic highlights), procedural
textures, and a camera model.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from clearcast.synth.disks.drawing import (
    PixelGrid,
    PixelMap,
    fractal_noise,
    gaussian_blur,
    make_pixel_grid,
    smooth_step,
    value_noise,
)
from clearcast.synth.disks.part import UNITS_PER_IMAGE, Background, Lighting, RenderedPart, SurfaceFinish
from clearcast.synth.disks.surface import SurfaceMaps, add_rendered_defects, build_surface

VISIBLE_DIFFERENCE = 8.0  # grey levels; pixels that a defect changes by less are not marked
_ANGLES = 4096  # entries of a table over the full circle
_STEPS = 4  # entries of the ring tables per unit of length
_CORNER = 0.7  # pixels: blur of the height map before its gradient is taken, against jagged rims
_SKIN = 0.07  # texture of a raw casting, as a share of its brightness
_LENS_BLUR = 0.55  # standard deviation in pixels
_SENSOR_NOISE = 1.1  # standard deviation in grey levels


@dataclass(frozen=True)
class _SceneTextures:
    """Textures of a part; float32 fields of shape (size, size), brightness 0..1.

    ``fan`` is the anisotropic highlight of turned grooves, ``marks`` multiplies the brightness of machined faces,
    ``skin`` that of raw castings, ``backdrop`` is the background.
    """

    fan: PixelMap
    marks: PixelMap
    skin: PixelMap
    backdrop: PixelMap


def render_part(part: RenderedPart, size: int = 512) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Render a part's image and the mask of its defects.

    Args:
        part: its lengths are scaled to the image.
        size: the width and height in pixels.

    Returns:
        The grey image, uint8 of shape (size, size), 0..255; and the mask, uint8 of the same shape, 255 where the same
        part without its defects would differ by more than ``VISIBLE_DIFFERENCE`` grey levels (and in gaps of a pixel
        between such pixels), else 0. The same part and size always give the same bytes.
    """
    grid = make_pixel_grid(part, size)
    textures, intact = _make_textures(part, grid), build_surface(part, grid)
    defective = intact.copy()
    add_rendered_defects(defective, part, grid)
    exposed = _expose(_shade_surface(defective, textures, part.light, grid.scale))
    if part.defects:
        changed = (
            np.abs(exposed - _expose(_shade_surface(intact, textures, part.light, grid.scale))) > VISIBLE_DIFFERENCE
        )
        mask = cv2.morphologyEx(changed.astype(np.uint8) * 255, cv2.MORPH_CLOSE, np.ones((3, 3), np.uint8))
    else:
        mask = np.zeros((size, size), np.uint8)
    noise = np.random.default_rng([part.seed, 1]).standard_normal((size, size), np.float32)
    image = np.clip(np.rint(exposed + np.float32(_SENSOR_NOISE) * noise), 0, 255).astype(np.uint8)
    return image, np.asarray(mask, np.uint8)


def _expose(brightness: PixelMap) -> PixelMap:
    """Apply the camera model: lens blur, and a tone curve that compresses highlights; grey levels 0..255."""
    blurred = gaussian_blur(brightness, _LENS_BLUR)
    compressed = np.where(blurred > 0.8, 0.8 + 0.2 * np.tanh((blurred - 0.8) / 0.2), blurred)
    return np.asarray(compressed * 247 + 8, np.float32)


def _make_textures(part: RenderedPart, grid: PixelGrid) -> _SceneTextures:
    """Generate a part's procedural textures; they depend on its seed, not on its defects."""
    rng = np.random.default_rng(part.seed)
    rings = _ring_table(rng)
    ring = np.take(rings, (grid.radius * _STEPS).astype(np.int32))
    fan = _highlights(part.light, grid, ring)
    marks = _machining_marks(part.finish, grid, ring, fan, rng)
    skin = 1 + np.float32(_SKIN) * fractal_noise(rng, fan.shape, grid.size // 6, 2)
    return _SceneTextures(fan, marks, skin, _background(part.backdrop, grid, rng))


def _shade_surface(surface: SurfaceMaps, scene: _SceneTextures, light: Lighting, scale: float) -> PixelMap:
    """Shade a surface: the brightness of each pixel, about 0..1, above in strong light; float32 (size, size)."""
    smoothed = gaussian_blur(surface.height, _CORNER)
    slope_x = cv2.Sobel(smoothed, cv2.CV_32F, 1, 0, ksize=3, scale=scale / 8)
    slope_y = cv2.Sobel(smoothed, cv2.CV_32F, 0, 1, ksize=3, scale=scale / 8)
    normal_z = 1 / np.sqrt(1 + slope_x * slope_x + slope_y * slope_y)
    flat = np.sin(light.elevation)
    lamp = np.array([np.cos(light.azimuth), np.sin(light.azimuth)], np.float32) * np.float32(np.cos(light.elevation))
    facing = np.maximum((np.float32(flat) - slope_x * lamp[0] - slope_y * lamp[1]) * normal_z, 0) / np.float32(flat)
    ambient_occlusion, shadow = _ambient_occlusion(surface.height, scale), _shadow(surface.height, light, scale)
    lit = np.float32(light.ambient) * ambient_occlusion + np.float32(light.key) * facing * (
        1 - np.float32(0.85) * shadow
    )
    gloss = surface.turned * normal_z * normal_z
    metal = surface.albedo * lit * (scene.skin + gloss * (scene.marks - scene.skin))
    metal += gloss * scene.fan * scene.marks * ambient_occlusion
    edge = np.maximum(facing - np.float32(1.05), 0) * (1 - normal_z) * surface.albedo  # bevelled edges are bright
    table = scene.backdrop * (np.float32(0.45) * ambient_occlusion + np.float32(0.55) * (1 - np.float32(0.7) * shadow))
    return np.asarray(table + surface.cover * (metal + np.float32(1.6) * edge - table), np.float32)


def _ambient_occlusion(height: PixelMap, scale: float) -> PixelMap:
    """Compute the ambient occlusion: the visible share of the sky, 0..1, low where the surroundings are higher."""
    half = cv2.resize(height, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
    eighth = cv2.resize(height, None, fx=0.125, fy=0.125, interpolation=cv2.INTER_AREA)
    wide = cv2.resize(gaussian_blur(np.asarray(half, np.float32), 5 * scale), height.shape[::-1])
    widest = cv2.resize(gaussian_blur(np.asarray(eighth, np.float32), 3.5 * scale), height.shape[::-1])
    near = gaussian_blur(height, 2.2 * scale)
    depth = np.maximum(wide - height, 0) * np.float32(0.028) + np.maximum(near - height, 0) * np.float32(0.09)
    depth += np.maximum(widest - height, 0) * np.float32(0.014)
    return np.asarray(1 / (1 + depth * depth * 2 + depth), np.float32)


def _shadow(height: PixelMap, light: Lighting, scale: float) -> PixelMap:
    """Compute the heightfield shadow: 0 if the lamp is visible, 1 where the height map blocks its ray."""
    half = np.asarray(cv2.resize(height, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA), np.float32)
    far = _blocked_height(half, light, scale / 2, (6, 9, 12, 16, 20, 24, 29))
    soft = gaussian_blur(
        np.minimum(far / 9, 1), 2.5 * scale
    )  # the lamp has a width: far from its edge, a shadow is blurred
    near = gaussian_blur(np.minimum(_blocked_height(height, light, scale, (1.2, 2.4, 4.0)) / 3, 1), 0.7 * scale)
    return np.asarray(np.maximum(near, cv2.resize(soft, height.shape[::-1])), np.float32)


def _blocked_height(height: PixelMap, light: Lighting, scale: float, distances: tuple[float, ...]) -> PixelMap:
    """Compute by how many units the height map rises above the ray to the lamp, at most, at the given distances."""
    highest = np.zeros_like(height)
    for distance in distances:
        x, y = distance * scale * np.cos(light.azimuth), distance * scale * np.sin(light.azimuth)
        affine = np.array([[1, 0, -x], [0, 1, -y]], np.float32)
        shifted = cv2.warpAffine(height, affine, height.shape[::-1], borderMode=cv2.BORDER_REPLICATE)
        np.maximum(highest, shifted - height - np.float32(distance * np.tan(light.elevation)), out=highest)
    return highest


def _ring_table(rng: Generator) -> PixelMap:
    """Make turning marks as a function of the radius: fine noise, coarser bands, a few single deep rings; zero mean."""
    count = UNITS_PER_IMAGE * _STEPS
    fine, knots = rng.standard_normal(count), np.arange(0, count, 24)
    coarse = np.interp(np.arange(count), knots, rng.standard_normal(len(knots)))
    single = (rng.random(count) < 0.006) * rng.normal(0, 2.5, count)
    soft = np.convolve(fine + single, np.ones(3) / 1.7, mode="same")
    return np.asarray(0.7 * soft + 0.35 * coarse, np.float32)


def _highlights(light: Lighting, grid: PixelGrid, ring: PixelMap) -> PixelMap:
    """Compute anisotropic highlights: circular grooves are bright where they are perpendicular to a lamp."""
    angles = np.arange(_ANGLES) * (2 * np.pi / _ANGLES)
    table = np.zeros(_ANGLES)
    for fan in light.fans:
        off = np.sin(angles - fan.angle) / fan.width
        nearer = 0.8 + 0.2 * np.cos(angles - fan.angle)  # the side towards the lamp is the brighter one
        table += fan.strength * nearer * (0.65 * np.exp(-(off**2)) + 0.35 / (1 + off**2))
    entry = (grid.angle + np.float32(0.012) * ring) * np.float32(_ANGLES / (2 * np.pi))
    return np.take(table.astype(np.float32), entry.astype(np.int32) % _ANGLES)


def _machining_marks(finish: SurfaceFinish, grid: PixelGrid, ring: PixelMap, fan: PixelMap, rng: Generator) -> PixelMap:
    """Make rings, streaks along the circle, feed grooves (finer than pixels, with moiré), stains and specks."""
    fine = _streaks(grid, rng)
    pixels = grid.radius * np.float32(grid.scale)
    grooves = np.sin(pixels * np.float32(2 * np.pi / finish.pitch)) * np.float32(finish.grooves)
    stain = np.maximum(fractal_noise(rng, fan.shape, 5, 4) - np.float32(0.4), 0) * np.float32(finish.stain)
    marks = 1 + np.float32(finish.rings) * ring + np.float32(finish.streaks * 2.5) * fine + grooves * (0.3 + fan)
    marks = marks * (1 - np.minimum(stain, np.float32(0.2)))
    _sprinkle(marks, rng, finish.specks, 0.16)
    return np.asarray(marks, np.float32)


def _streaks(grid: PixelGrid, rng: Generator) -> PixelMap:
    """Make anisotropic noise: fine across the grooves and long along them; zero mean, variance about 0.1."""
    count, ends = 128, 12
    noise = np.pad(rng.standard_normal((UNITS_PER_IMAGE, count), np.float32), ((0, 0), (ends, ends)), mode="wrap")
    streak = cv2.GaussianBlur(noise, (0, 0), sigmaX=2.5, sigmaY=0.6)
    columns = grid.angle * np.float32(count / (2 * np.pi)) + np.float32(ends)
    return np.asarray(cv2.remap(streak, columns, grid.radius, cv2.INTER_LINEAR), np.float32)


def _background(backdrop: Background, grid: PixelGrid, rng: Generator) -> PixelMap:
    """Make the background texture: a gradient, vignetting, faint mottling and grains of dust."""
    across = (np.cos(backdrop.direction) * grid.x + np.sin(backdrop.direction) * grid.y) * np.float32(
        2 / UNITS_PER_IMAGE
    )
    corner = (grid.x * grid.x + grid.y * grid.y) * np.float32((2 / UNITS_PER_IMAGE) ** 2)
    tone = np.float32(backdrop.tone) * (1 + np.float32(backdrop.fall) * across - np.float32(0.05) * corner)
    mottled = fractal_noise(rng, tone.shape, 4, 4) + np.float32(0.6) * value_noise(rng, tone.shape, grid.size // 2)
    texture = tone * (1 + np.float32(backdrop.mottle) * mottled)
    _sprinkle(texture, rng, backdrop.dust, -0.3)
    return np.asarray(texture, np.float32)


def _sprinkle(target: PixelMap, rng: Generator, count: int, strength: float) -> None:
    """Add dots of about one pixel in place, normally distributed around a random centre."""
    size = target.shape[0]
    centre = rng.uniform(0.2, 0.8, 2) * size
    for x, y in rng.normal(centre, size * 0.25, (count, 2)):
        column, row, reach = int(x), int(y), float(rng.uniform(0.5, 1.1))
        if 2 <= column < size - 3 and 2 <= row < size - 3:
            patch = target[row - 2 : row + 4, column - 2 : column + 4]
            distance = np.hypot(np.arange(6) - 2 - (x - column), (np.arange(6) - 2 - (y - row))[:, None])
            patch += np.float32(strength * rng.uniform(0.3, 1)) * smooth_step(
                np.asarray(reach - distance, np.float32), 1.0
            )
